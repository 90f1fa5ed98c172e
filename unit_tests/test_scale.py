"""A read holds no more than it must, however much there is and however slowly it is taken."""

from __future__ import annotations

import re
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import scale
from fake_confluence import Server, generate
from unit_tests.test_process import arguments, started

PAGES, BODY_BYTES, A_LIST = 6_000, 20_000, 25
QUIET = 2  # seconds without a request: then nothing more is read ahead


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what a process holds")
def test_what_nobody_takes_is_not_read_ahead_into_memory(tmp_path: Path) -> None:
    with Server(generate(pages=PAGES, spaces=5, body_bytes=BODY_BYTES)) as server:
        without = held_while_nobody_reads(server, tmp_path, body_format="none")
        with_bodies = held_while_nobody_reads(server, tmp_path, body_format="storage")
        assert len(server.requests_to("/wiki/api/v2/pages")) < PAGES / A_LIST
    assert with_bodies - without < PAGES * BODY_BYTES / 2


def held_while_nobody_reads(server: Server, directory: Path, **config: str) -> int:
    """Return how many bytes a read held at most, which asks for no more until its output is read."""
    server.log.clear()
    asked = threading.Event()
    server.before(r"/pages\?", lambda _: asked.set())
    # With small pages of the list: each worker holds one.
    with started(arguments(directory, server, "pages", page_size=A_LIST, **config)) as (process, _):
        assert asked.wait(60)
        while asked.wait(QUIET):
            asked.clear()
        told = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", told)
    return int(peak) * 1024


def test_the_children_of_one_parent_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(scale.compared((scale.labels_of_one_page, scale.versions_of_one_page), 30)) == []
    labels, versions = capsys.readouterr().out.splitlines()
    assert labels.startswith("| 30 labels on one page | 10 | 30 | 3")  # one request for each, and for lists
    assert versions.startswith("| 30 versions of one page | 10 | 30 | ")


def test_a_large_read_that_lacks_a_record_is_told() -> None:
    def one_more(count: int) -> scale.Large:
        return replace(scale.views(count), brings=count + 1)

    assert list(scale.compared([one_more], 30)) == [
        "views of 3 pages: 3 records instead of 4",
        "views of 30 pages with 10 workers: 30 records instead of 31",
    ]
