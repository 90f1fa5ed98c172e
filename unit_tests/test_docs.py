"""The instructions of the documentation work as written; test_release.py runs those of the README."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from common.connector import CONNECTOR, ROOT, config_for
from fake_confluence import Server, company
from source_confluence.source import MANIFEST
from tools import builder
from unit_tests.readme import run
from unit_tests.runners import manifest_server, pyairbyte

SCRIPT = "unit_tests/read_with_pyairbyte.py"


def test_the_tests_use_the_documented_settings_of_pyairbyte() -> None:
    page, script = ((ROOT / name).read_text(encoding="utf-8") for name in ("docs/platform.md", SCRIPT))
    for line in (
        "pd.read_json = functools.partial(pd.read_json, dtype=False, convert_dates=False)",
        "WHERE _airbyte_extracted_at < '{began}'",
        "datetime.now(timezone.utc).replace(tzinfo=None)",
    ):
        assert line in page
        assert line in script


def test_git_ignores_what_the_documented_commands_write() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"config.json", "secrets/", "demo/", "*.tfstate*", ".terraform*", "*.duckdb"} <= {*ignored}
    assert {"/documents.jsonl", "/report.html", "/merged.json"} <= {*ignored}


# ------------------------------------------------------------------ back from the Connector Builder


def report(
    exported: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> list[str]:
    file = tmp_path / "exported.yaml"
    file.write_text(json.dumps(exported), encoding="utf-8")  # JSON is YAML
    monkeypatch.setattr(sys, "argv", ["builder", str(file)])
    builder.main()
    return list(capsys.readouterr().out.splitlines())


def test_the_builders_server_makes_the_documented_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "builder.md").read_text(encoding="utf-8")
    (command,) = re.findall(
        r"^```sh\n\S+python -c \"\n(.+exported\.yaml.+?)^\"\n```$", page, re.DOTALL | re.MULTILINE
    )
    (tmp_path / "source_confluence").symlink_to(ROOT / "source_confluence")
    with manifest_server(Path(sys.executable)) as url:
        run([sys.executable, "-c", command.replace("http://127.0.0.1:8811", url)], tmp_path)
    exported = safe_load_yaml((tmp_path / "exported.yaml").read_text(encoding="utf-8"))
    assert report(exported, tmp_path, monkeypatch, capsys) == ["Nothing differs."]


def test_a_change_in_a_resolved_export_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = copy.deepcopy(builder.resolved(MANIFEST))
    for stream in exported["streams"]:
        if stream["name"] in ("space", "page_index"):  # the parents of most other streams
            stream["retriever"]["requester"]["http_method"] = "POST"
    assert report(exported, tmp_path, monkeypatch, capsys) == [
        "retriever.requester.http_method was 'GET' and is now 'POST':",
        "    space, page_index",
    ]


def test_changes_in_the_builder_are_reported_with_their_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = copy.deepcopy(builder.imported(MANIFEST))
    streams = {stream["name"]: stream for stream in exported["streams"]}
    del streams["tasks"]["retriever"]["requester"]["request_parameters"]["body-format"]
    for name in ("labels", "group"):
        streams[name]["retriever"]["requester"]["http_method"] = "POST"
    exported["streams"].remove(streams["audit"])  # the last stream, so that no reference by index changes
    exported["streams"].append({**streams["labels"], "name": "label_list"})
    exported["metadata"] = {"testedStreams": {}}
    lines = report(exported, tmp_path, monkeypatch, capsys)
    changes = dict(zip(lines[::2], (line.strip() for line in lines[1::2]), strict=True))
    (removed,) = (change for change in changes if "body-format" in change)
    assert re.fullmatch(r"retriever\S+\.body-format was .+ and is now not set:", removed)
    assert changes == {
        removed: "tasks",
        "retriever.requester.http_method was 'GET' and is now 'POST':": "labels, group",
        "is gone:": "audit",
        "is new:": "label_list",
    }


# ------------------------------------------------------------------ docs/quickstart.md

TERRAFORM = ROOT / "docs" / "terraform"
PROGRAM = shutil.which("terraform") or ""
needs_terraform = pytest.mark.skipif(not PROGRAM, reason="Terraform is not installed")


def terraform(*arguments: str, said: str = "") -> str:
    quiet = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"}
    ran = subprocess.run(
        [PROGRAM, *arguments],
        cwd=TERRAFORM,
        env=quiet,
        input=said,
        capture_output=True,
        check=False,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@needs_terraform
def test_the_terraform_example_is_formatted() -> None:
    assert terraform("fmt", "-check", "-diff") == ""


@needs_terraform
def test_terraform_reads_the_manifest_as_it_is(tmp_path: Path) -> None:
    example = (TERRAFORM / "main.tf").read_text(encoding="utf-8")
    (expression,) = re.findall(r"^  manifest +=(.+)$", example, re.MULTILINE)
    path = MANIFEST.resolve()
    written = expression.replace("${path.module}/../../source_confluence/manifest.yaml", str(path)).strip()
    printed = terraform(f"-chdir={tmp_path}", "console", said=written)
    assert json.loads(json.loads(printed)) == safe_load_yaml(MANIFEST.read_text(encoding="utf-8"))


def test_a_copied_loader_finds_the_connector_on_the_path(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tools" / "load.py", tmp_path)

    def load(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(pyairbyte("python")), "load.py", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env={"PATH": str(path)}, capture_output=True, check=False, text=True
        )

    with Server(company(small=True)) as site:
        site.deny("/wiki/api/v2/labels")
        (tmp_path / "config.json").write_text(json.dumps(config_for(site)))
        sync = ("config.json", "wiki.duckdb", "space", "pages", "labels")
        with_it, without = load(CONNECTOR.parent, *sync), load(tmp_path, *sync)
        full = load(CONNECTOR.parent, "--full", "config.json", "wiki.duckdb", "pages")
    with duckdb.connect(str(tmp_path / "wiki.duckdb")) as connection:
        assert connection.execute("SELECT count(*) FROM space").fetchall() == [(13,)]
        ((pages,),) = connection.execute("SELECT count(*) FROM pages").fetchall()
    assert with_it.stdout == f"{13 + pages} records of 3 streams\n", with_it.stderr
    assert full.stdout == f"{pages} records of 1 stream\n", full.stderr
    assert with_it.stderr.startswith("Not complete:\nlabels: ")
    assert with_it.returncode == 1
    assert (
        without.stderr
        == "There is no program source-confluence: install source-confluence-cloud for this Python.\n"
    )
    assert load(tmp_path, "--help").stdout.startswith("usage: load.py ")
