"""Standard output of the real process over a real pipe: whole lines, and each record once."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from fake_confluence import Server, generate
from unit_tests.processes import LONG, arguments, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_OF_A_PIPE = 50_000
# A program whose threads print and log in small pieces while its main thread writes long lines.
THREADS = """
import logging, sys, threading
from airbyte_cdk.logger import init_logger
from source_confluence.output import take_over_stdout
logger = init_logger("airbyte")
output = take_over_stdout()
def chatter(number):
    for count in range(500):
        print('{"thread": %d,' % number, end="")
        print(' "count": %d}' % count)
        logger.info("x" * 5_000)
threads = [threading.Thread(target=chatter, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for count in range(50):
    sys.stdout.write('{"main": %d, "body": "%s"}\\n' % (count, "y" * 1_000_000))
for thread in threads:
    thread.join()
output.end_process(0)
"""


def read_slowly(descriptor: int, pause: float, *, after: int = 0) -> bytes:
    """Read to the end, slowly after so many bytes, so that the pipe is full most of the time."""
    chunks = bytearray()
    while chunk := os.read(descriptor, MOST_OF_A_PIPE):
        chunks += chunk
        time.sleep(pause if len(chunks) > after else 0)
    return bytes(chunks)


@contextmanager
def failing_site(body_bytes: int, pages: int) -> Iterator[Server]:
    """Serve a site on which every ninth request fails once."""
    site = generate(pages=pages, spaces=10, blog_posts=pages // 4, groups=600, body_bytes=body_bytes)
    count = itertools.count(1)
    with Server(site) as server:
        server.before("", lambda r: server.fail(r.path, status=500) if next(count) % 9 == 0 else None)
        yield server


@contextmanager
def logging_site(pages: int) -> Iterator[Server]:
    """Serve a site whose pages are deleted after they are listed: each page causes a log line of a worker thread."""
    gone = {"status": 404, "code": "NOT_FOUND", "title": "The page cannot be found", "detail": None}
    with Server(generate(pages=pages, spaces=10, body_bytes=20_000)) as server:
        body = json.dumps({"errors": [gone]}).encode()
        for operation in ("/wiki/api/v2/pages/{page-id}/properties", "/wiki/api/v2/pages/{id}"):
            server.fail(operation, times=None, status=404, body=body)
        yield server


def messages_of(output: bytes) -> list[dict[str, Any]]:
    assert output.endswith(b"\n")
    return [json.loads(line) for line in output.removesuffix(b"\n").split(b"\n")]


def records_of(messages: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    records = [message["record"] for message in messages if message["type"] == "RECORD"]
    return Counter((record["stream"], record["data"]["id"]) for record in records)


@pytest.mark.parametrize(
    ("body_bytes", "pages", "pause"), [(1_000, 2_000, 0), (50_000, 300, 0.001), (1_000_000, 24, 0.0005)]
)
def test_every_line_is_whole(
    tmp_path: Path,
    body_bytes: int,
    pages: int,
    pause: float,
) -> None:
    with failing_site(body_bytes, pages) as server:
        args = arguments(tmp_path, server, "pages", "blog_posts", "group", page_size=max(4, pages // 20))
        with started(args) as (process, stdout):
            messages = messages_of(read_slowly(stdout.fileno(), pause))
            assert process.wait(LONG) == 0
        lists = {"pages": "pages", "blog_posts": "blog_posts", "group": "groups"}
        assert records_of(messages) == Counter(
            (stream, record["id"]) for stream, name in lists.items() for record in server.site.records(name)
        )
        assert any("Retrying" in message["log"]["message"] for message in messages if "log" in message)


def test_every_line_is_whole_with_a_thousand_log_lines(tmp_path: Path) -> None:
    with logging_site(1_000) as server:
        args = arguments(tmp_path, server, "pages", "page_properties", num_workers=25)
        with started(args) as (process, stdout):
            messages = messages_of(read_slowly(stdout.fileno(), 0.0005, after=10_000_000))  # half of it
            assert process.wait(LONG) == 0
        assert records_of(messages) == Counter(("pages", page["id"]) for page in server.site.records("pages"))
        assert sum(message["type"] == "LOG" for message in messages) > 1_000


def test_a_full_pipe_in_non_blocking_mode_loses_nothing(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with failing_site(50_000, 200) as server:
        args = arguments(tmp_path, server, "pages")
        with subprocess.Popen(args, stdout=writer, stderr=subprocess.PIPE) as process:
            os.close(writer)
            messages = messages_of(read_slowly(reader, 0.001))
            os.close(reader)
            assert process.wait(LONG) == 0
        pages = {("pages", page["id"]) for page in server.site.records("pages")}
        assert records_of(messages) == Counter(pages)


@pytest.mark.parametrize(
    ("number", "bytes_read"),
    [
        (signal.SIGTERM, 20_000),
        (signal.SIGTERM, 3_000_000),
        (signal.SIGINT, 500_000),
    ],
)
def test_a_signal_ends_the_process_between_two_lines(
    tmp_path: Path, number: signal.Signals, bytes_read: int
) -> None:
    with failing_site(200_000, 100) as server:
        args = arguments(tmp_path, server, "pages", page_size=10)
        with started(args) as (process, stdout):
            output = stdout.read(bytes_read)  # by now the process waits for space in the pipe
            process.send_signal(number)
            output += read_slowly(stdout.fileno(), 0.001) if bytes_read > MOST_OF_A_PIPE else stdout.read()
            assert process.wait(LONG) == 128 + number
            assert process.stderr
            assert process.stderr.read() == b""
        assert 0 < len(records_of(messages_of(output))) < 100


def test_a_signal_ends_a_process_whose_reader_has_stopped_and_a_second_signal_at_once(tmp_path: Path) -> None:
    with failing_site(200_000, 100) as server:
        args = arguments(tmp_path, server, "pages")
        with started(args) as (first, output), started(args) as (second, other_output):
            for process, stdout in ((first, output), (second, other_output)):
                stdout.read(10_000)
                process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(1)
            second.send_signal(signal.SIGTERM)
            assert second.wait(LONG) == -signal.SIGTERM
            assert first.wait(LONG) == 128 + signal.SIGTERM


def test_records_and_their_state_leave_while_the_next_response_is_late(tmp_path: Path) -> None:
    with Server(generate(pages=40, spaces=2)) as server:
        server.fail("space-id=1001", times=None, how="hang")
        with started(arguments(tmp_path, server, "pages", num_workers=2)) as (process, stdout):
            records = 0
            for line in stdout:
                message = json.loads(line)
                records += message["type"] == "RECORD"
                if message["type"] == "STATE" and records == 20:
                    break
            assert records == 20
            assert process.poll() is None


def test_threads_that_print_and_log_do_not_break_lines() -> None:
    with started([sys.executable, "-c", THREADS]) as (process, stdout):
        messages = messages_of(read_slowly(stdout.fileno(), 0.0001))
        assert process.wait(LONG) == 0
    assert [m["main"] for m in messages if "main" in m] == list(range(50))
    assert sum(m.get("type") == "LOG" for m in messages) == 8 * 500
    for number in range(8):
        assert [m["count"] for m in messages if m.get("thread") == number] == list(range(500))
