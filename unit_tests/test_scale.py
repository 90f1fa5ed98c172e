"""A read holds no more than it must, however much there is and however slowly it is taken."""

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
from unit_tests.processes import arguments, started

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


def test_the_children_of_one_parent_are_counted() -> None:
    reads = scale(30)
    chosen = [name + part for name in ("versions-of-one", "labels-of-one") for part in (TENTH, "")]
    results = dict(run_all({name: reads[name] for name in chosen}))
    assert failures(results) is None
    requests = [results[name]["runs"]["connector"][0]["requests"] for name in chosen]
    assert 30 <= requests[3] < 40  # one for each label, and for lists
    assert [goal.text for goal in goals(results)] == [
        "Peak memory: 30 versions of one page ÷ a tenth",
        "Peak memory: 30 labels on one page ÷ a tenth",
    ]


def test_a_large_read_that_lacks_a_record_is_reported() -> None:
    reads = {name: replace(read, expected=31) for name, read in scale(30).items() if name == "views-10"}
    assert failures(dict(run_all(reads))) == "views-10: this connector 30 records instead of 31"
