"""The programs in tools/ refuse what they cannot use in a sentence, and leave alone what is there."""

from __future__ import annotations

import io
import itertools
import json
import resource
import runpy
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import duckdb
import pytest

from common.connector import ROOT, config_for
from fake_confluence import Server, generate
from unit_tests.warehouse import small

if TYPE_CHECKING:
    from pathlib import Path

# Each program, with {} for its database.
PROGRAMS = {
    "deletions": "{}",
    "documents": "{} out",
    "report": "{} out",
    "combine": "all.duckdb {}",
    "parts": "--into 2 {}",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "out").write_text("of the day before")
    (tmp_path / "text.duckdb").write_text("this is no database")
    (tmp_path / "nothing.json").write_text("{}")
    (tmp_path / "text.json").write_text('{"no": "state"}')
    (tmp_path / "directory.duckdb").mkdir()
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    return tmp_path


def refusal(directory: Path, name: str, arguments: str) -> str:
    """Run a program and return what it says; it must refuse.

    It runs in this process, which takes a tenth of the time; that a sentence is not a traceback follows from its being
    the text of the SystemExit. Other tests run the programs as processes.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(directory)
        patch.setattr(sys, "argv", [name, *arguments.split()])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(ROOT / "tools" / f"{name}.py"), run_name="__main__")
    assert isinstance(stop.value.code, str)  # which ends a process with 1
    assert (out.getvalue(), err.getvalue()) == ("", "")
    assert (directory / "out").read_text() == "of the day before"
    return stop.value.code


@pytest.mark.parametrize(
    ("name", "database"),
    [
        *itertools.product(PROGRAMS, ["text.duckdb", "directory.duckdb", "absent.duckdb"]),
        *(
            (name, "empty.duckdb") for name in ("documents", "combine", "parts")
        ),  # the others say what is missing
    ],
)
def test_a_database_that_cannot_be_used_is_named_and_what_is_there_stays(
    directory: Path, name: str, database: str
) -> None:
    assert database in refusal(directory, name, PROGRAMS[name].format(database))
    assert not (directory / "absent.duckdb").exists()


def test_documents_that_fail_are_no_file(directory: Path) -> None:
    before = set(directory.iterdir())
    refusal(directory, "documents", "empty.duckdb new")
    assert set(directory.iterdir()) == before


@pytest.mark.parametrize(
    ("file", "why"), [("absent/file", "No such file or directory"), ("/dev/full", "No space left on device")]
)
@pytest.mark.parametrize("name", ["documents", "report"])
def test_a_file_that_cannot_be_written_is_named(directory: Path, name: str, file: str, why: str) -> None:
    columns = ["body", "title", "path", "url", "last_modified", "labels", "may_see", "space", "subtype"]
    with duckdb.connect(str(directory / "usable.duckdb")) as connection:
        connection.execute("CREATE TABLE site_info AS SELECT '' AS baseUrl, 'Norrvik' AS siteTitle")
        connection.execute("CREATE TABLE _syncs (stream text, status text, finished timestamptz)")
        query = ", ".join(f"NULL AS {column}" for column in columns)
        connection.execute(f"CREATE TABLE text_for_ai AS SELECT '1' AS document_key, 'page' AS type, {query}")
    said = refusal(directory, name, f"usable.duckdb {file}")
    assert said.endswith(f" cannot be written: {why}.")


def test_a_database_that_another_process_uses_is_named(directory: Path) -> None:
    code = "import sys, duckdb; kept = duckdb.connect('used.duckdb'); print('open', flush=True); sys.stdin.read()"
    with (
        Server(small()) as site,
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
    ):
        (directory / "config.json").write_text(json.dumps(config_for(site)))
        assert other.stdout
        other.stdout.readline()
        for name, arguments in (*PROGRAMS.items(), ("load", "config.json {} space")):
            said = refusal(directory, name, arguments.format("used.duckdb"))
            assert ("used.duckdb" in said, "lock" in said) == (True, True), (name, said)
        (directory / "confluence.duckdb").symlink_to("used.duckdb")
        demo = [sys.executable, "-m", "tools.demo", "--config", f"{directory}/config.json"]
        demo += ["--directory", str(directory), "space"]
        done = subprocess.run(demo, cwd=ROOT, capture_output=True, check=False, text=True)
        assert done.returncode == 1
        assert "used.duckdb" in done.stderr
        assert "Traceback" not in done.stderr
        other.communicate()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_are_read_in_the_encodings_that_the_connector_reads(directory: Path, encoding: str) -> None:
    def run(name: str, *arguments: str) -> str:
        command = [sys.executable, "-m", f"tools.{name}", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout

    config, state = directory / "config.json", directory / "state.json"
    with Server(small()) as site:
        config.write_text(json.dumps(config_for(site)), encoding=encoding)
        first, second = str(directory / "1.duckdb"), str(directory / "2.duckdb")
        run("load", str(config), first, "pages")
        merged = run("parts", "--into", "1", first)
        state.write_text(merged, encoding=encoding)
        assert run("parts", "--into", "1", str(state)) == merged
        continued = run("load", "--state", str(state), str(config), second, "pages")
        assert int(continued.split()[0]) < len(site.site.records("pages"))  # from the newest of each space
        assert "records in" in run("demo", "--config", str(config), "--directory", str(directory), "space")


def test_a_full_disk_is_named(directory: Path) -> None:
    with Server(generate(pages=100, spaces=1, body_bytes=10_000)) as site:
        (directory / "config.json").write_text(json.dumps(config_for(site)))
        files = [str(directory / name) for name in ("config.json", "full.duckdb")]
        done = subprocess.run(
            [sys.executable, "-m", "tools.load", *files, "pages"],
            cwd=ROOT,
            capture_output=True,
            check=False,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000)),
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("cannot be used: File too large.\n")
    assert "Traceback" not in done.stderr


def test_days_below_zero_are_refused(directory: Path) -> None:
    command = [sys.executable, "-m", "tools.deletions", str(directory / "empty.duckdb"), "--erase", "-1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--erase takes a number of days" in done.stderr


@pytest.mark.parametrize("file", ["absent.json", "text.duckdb", "text.json", "nothing.json"])
def test_a_file_without_a_state_is_named(directory: Path, file: str) -> None:
    assert f"{file} has no state" in refusal(directory, "parts", f"--into 2 {file}")


def test_a_database_is_not_combined_with_itself(directory: Path) -> None:
    assert "named twice" in refusal(directory, "combine", "empty.duckdb empty.duckdb")
    assert "named twice" in refusal(directory, "combine", "all.duckdb empty.duckdb empty.duckdb")
    assert not (directory / "all.duckdb").exists()
