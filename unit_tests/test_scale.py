"""The memory of a read is limited, for any number of records and any speed of the reader."""

from __future__ import annotations

import re
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.goals import goals
from benchmarks.report import failures
from benchmarks.runner import run_all
from benchmarks.workloads import TENTH, scale
from fake_confluence import Server, generate
from source_confluence.source import QUEUED_MESSAGES
from unit_tests.processes import LONG, arguments, started

PAGES, BODY_BYTES, A_LIST = 6_000, 20_000, 25
QUIET = 2  # seconds without a request, after which nothing more is read ahead


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the peak memory of a process")
def test_a_read_does_not_fill_memory_while_nobody_reads_its_output(tmp_path: Path) -> None:
    with Server(generate(pages=PAGES, spaces=5, body_bytes=BODY_BYTES)) as server:
        without = peak_memory_without_reader(server, tmp_path, body_format="none")
        with_bodies = peak_memory_without_reader(server, tmp_path, body_format="storage")
        assert len(server.requests_to("/wiki/api/v2/pages")) < PAGES / A_LIST
    assert with_bodies - without < PAGES * BODY_BYTES / 2


def peak_memory_without_reader(server: Server, directory: Path, **config: str) -> int:
    """Return the peak memory, in bytes, of a process whose output nobody reads; it stops sending requests."""
    server.log.clear()
    requested = threading.Semaphore(0)
    server.before(r"/pages\?", lambda _: requested.release())
    # With small pages: each worker holds one.
    with started(arguments(directory, server, "pages", page_size=A_LIST, **config)) as (process, _):
        for _ in range(QUEUED_MESSAGES // A_LIST):  # until the queue is full
            assert requested.acquire(timeout=LONG)
        while requested.acquire(timeout=QUIET):
            pass
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", status)
    return int(peak) * 1024


def test_the_children_of_one_parent_are_counted() -> None:
    reads = scale(30)
    chosen = [name + part for name in ("versions-of-one", "labels-of-one") for part in (TENTH, "")]
    results = dict(run_all({name: reads[name] for name in chosen}))
    assert failures(results) is None
    requests = [results[name]["runs"]["connector"][0]["requests"] for name in chosen]
    assert 30 <= requests[3] < 40  # one for each label, and some for the lists
    assert [goal.text for goal in goals(results)] == [
        "Peak memory: 30 versions of one page ÷ a tenth",
        "Peak memory: 30 labels on one page ÷ a tenth",
    ]


def test_a_large_read_with_a_missing_record_is_reported() -> None:
    reads = {name: replace(read, expected=31) for name, read in scale(30).items() if name == "views-10"}
    assert failures(dict(run_all(reads))) == "views-10: this connector 30 records instead of 31"
