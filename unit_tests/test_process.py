"""The console script as a process: killed during a read, without a reader, without disk space."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from common.connector import CONNECTOR, config_for, connector
from fake_confluence import Server, generate
from unit_tests.processes import LONG, arguments, started

if TYPE_CHECKING:
    from collections.abc import Iterator

Message = dict[str, Any]
MORE_THAN_THE_QUEUE_HOLDS = 15_000


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    with Server(generate(pages=200, spaces=200, labels=4, body_bytes=100)) as server:
        yield server


def ended(args: list[str], **how: Any) -> tuple[int, list[Message], str]:
    """Run a process to its end, and return its exit code, its messages and its stderr."""
    ran = subprocess.run(args, capture_output=True, check=False, timeout=LONG, **how)
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr.decode()


def with_a_full_disk(args: list[str]) -> list[str]:
    """Run a command that can write no byte to a file. The shell sets the limit: other threads never see it."""
    return ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *args]


def ids(messages: list[Message], stream: str) -> list[str]:
    records = [m["record"] for m in messages if m["type"] == "RECORD"]
    return sorted(record["data"]["id"] for record in records if record["stream"] == stream)


def test_the_files_can_be_pipes(server: Server, tmp_path: Path) -> None:
    arguments(tmp_path, server, "space")
    script = 'exec "$0" read --config <(cat config.json) --catalog <(cat catalog.json)'
    done = subprocess.run(
        ["/bin/bash", "-c", script, str(CONNECTOR)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"type":"RECORD"' in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_interrupted_read_is_resumed_without_loss(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with Server(generate(pages=3_000, spaces=150, body_bytes=3_000), latency=0.05) as server:
        args = arguments(tmp_path, server, "pages", page_size=50, num_workers=2)
        with started(args) as (process, stdout):
            lines = []
            for line in stdout:
                lines.append(line)
                if b'"type":"STATE"' in line:
                    break
            lines += [stdout.readline() for _ in range(20)]
            process.send_signal(number)
            lines += stdout.readlines()
            assert process.wait(LONG) == code
            assert process.stderr
            assert process.stderr.read() == b""
        if number == signal.SIGKILL and not lines[-1].endswith(b"\n"):
            lines.pop()  # an incomplete line after SIGKILL, which a platform ignores
        messages = [json.loads(line) for line in lines]
        server.latency = 0
        states = [message["state"] for message in messages if message["type"] == "STATE"]
        config = config_for(server)
        resumed = connector("read", config, select=["pages"], state=states[-1:], incremental=True)
        before, after = set(ids(messages, "pages")), {r["id"] for r in resumed.records["pages"]}
        assert resumed.exit_code == 0
        assert len(before) < 3_000
        assert len(after) < 3_000
        assert before | after == {page["id"] for page in server.site.records("pages")}


def test_the_process_ends_when_its_output_is_closed(tmp_path: Path) -> None:
    site = generate(pages=2 * MORE_THAN_THE_QUEUE_HOLDS, spaces=30, body_bytes=0)
    with Server(site) as server, started(arguments(tmp_path, server, "pages")) as (process, stdout):
        line = stdout.readline()
        while b'"type":"RECORD"' not in line:
            line = stdout.readline()
        stdout.close()
        assert process.wait(LONG) == 141
        assert process.stderr
        assert process.stderr.read() == b""
        assert len(server.log) < 2 * MORE_THAN_THE_QUEUE_HOLDS / 250


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_an_error_explains_an_output_that_cannot_be_written() -> None:
    with Path("/dev/full").open("wb") as full:
        args = [str(CONNECTOR), "spec"]
        ran = subprocess.run(args, stdout=full, stderr=subprocess.PIPE, check=False, timeout=LONG)
    message = "source-confluence: The output cannot be written: No space left on device.\n"
    assert (ran.returncode, ran.stderr.decode()) == (1, message)


def test_an_error_explains_an_output_that_is_closed() -> None:
    command = ["/bin/sh", "-c", f"exec {CONNECTOR} spec >&-"]
    ran = subprocess.run(command, stderr=subprocess.PIPE, check=False, timeout=LONG)
    message = "source-confluence: The output cannot be written: it is closed.\n"
    assert (ran.returncode, ran.stderr.decode()) == (1, message)


def test_an_error_explains_a_full_disk(tmp_path: Path, small: Server) -> None:
    args = arguments(tmp_path, small, "pages")
    code, messages, stderr = ended(with_a_full_disk(args), cwd=tmp_path)
    assert code == 1
    assert stderr.startswith("source-confluence: No directory for temporary files is writable.")
    errors = [m["trace"]["error"]["message"] for m in messages if m["type"] == "TRACE"]
    assert errors == [stderr.removeprefix("source-confluence: ").strip()]


def test_two_processes_can_use_the_same_configuration(tmp_path: Path, small: Server) -> None:
    args = arguments(tmp_path, small, "pages", "page_labels")
    with started(args) as (first, _), started(args) as (second, _):
        for process in (first, second):
            out, stderr = process.communicate(timeout=LONG)
            messages = [json.loads(line) for line in out.splitlines()]
            assert (process.returncode, stderr) == (0, b"")
            assert ids(messages, "pages") == sorted(page["id"] for page in small.site.records("pages"))
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".json"]


def test_help_ends_silently_when_its_output_is_closed() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run([CONNECTOR, "--help"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, b"")
