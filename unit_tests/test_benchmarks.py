"""The benchmarks count what a read does, and report a goal that is missed."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import Any

import pytest

from benchmarks.goals import goals
from benchmarks.readers import READERS, Job
from benchmarks.report import document, failures, updated
from benchmarks.runner import measure, run_all
from benchmarks.site import served
from benchmarks.workloads import WORKLOADS, Workload
from common.connector import ROOT
from common.restrictions import BULK, EACH

RESTRICTED = Workload(
    "Tiny restrictions",
    {"connector": 1},
    pages=50,
    spaces=2,
    site={"blog_posts": 4, "tree_items": 4, "restricted": 5, "groups": 2},
    bodies=False,
    streams=(BULK, *EACH),
)
TINY = Workload("Tiny", {"connector": 1, "bare": 1}, pages=600, spaces=30)


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    return dict(run_all({"latency-0": TINY}))


def test_a_run_counts_records_requests_time_and_memory(results: dict[str, dict[str, Any]]) -> None:
    runs = {name: run for name, (run,) in results["latency-0"]["runs"].items()}
    assert {name: (run["records"], run["failure"]) for name, run in runs.items()} == {
        "connector": (600, ""),
        "bare": (600, ""),
    }
    assert runs["bare"]["requests"] == 3
    assert runs["connector"]["requests"] == 15 + 2 + 3  # groups, lists of spaces, questions
    for run in runs.values():
        assert run["cpu"] > 0
        assert 0 < run["site_cpu"] < run["wall"]
        assert 20 < run["memory"] < 1_000


def test_parts_read_at_once_and_are_measured_each() -> None:
    site = {"files": [1_000] * 6}
    workload = Workload(
        "In parts",
        {"connector": 1},
        pages=60,
        spaces=4,
        site=site,
        bodies=False,
        streams=("pages", "attachment_files"),
        parts=2,
    )
    results = dict(run_all({"parts-2": workload}))
    (run,) = results["parts-2"]["runs"]["connector"]
    assert (run["records"], run["failure"]) == (66, "")
    assert len(run["walls"]) == len(run["memories"]) == 2
    assert run["wall"] == max(run["walls"])
    assert run["memory"] == pytest.approx(sum(run["memories"]))
    assert f"({' + '.join(f'{it:.0f}' for it in run['memories'])})" in document(results)


def test_the_page_shows_workloads_and_results(results: dict[str, dict[str, Any]]) -> None:
    text = document(results)
    assert "600 pages in 30 spaces, bodies of 4 KB, 0 ms a response" in text
    assert "`.venv/bin/python -m benchmarks --only latency-0`" in text
    assert "| bare loop | 1 |" in text
    assert failures(results) is None


def test_the_user_guide_has_the_measured_requests() -> None:
    guide, page = ((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("index", "benchmarks"))
    for name, sentence in (
        ("one-space", "{} requests for the pages"),
        ("all-but-one", "and {} for the comments"),
    ):
        row = page.partition(f"--only {name}`")[2].partition("\n| this connector |")[2]
        assert sentence.format(row.split("|")[4].strip()) in " ".join(guide.split())


def test_a_run_that_lost_records_does_not_count() -> None:
    with served({**TINY.sizes, "pages": 590}) as site:
        run = measure(READERS["bare"], TINY, site)
    assert run["failure"] == "590 records instead of 600"
    results = {"latency-0": _result(TINY, {"bare": [run]})}
    assert failures(results) == "latency-0: bare loop 590 records instead of 600"
    assert "failed: 590 records instead of 600" in document(results)


def test_restrictions_in_bulk_that_differ_from_those_of_each_content_are_a_failure() -> None:
    def command(job: Job) -> list[str]:
        read = READERS["connector"].command(job)
        return ["sh", "-c", '"$@" | sed "/page_restrictions/s/712020:00000001/712020:other/"', "-", *read]

    with served(RESTRICTED.sizes) as site:
        run = measure(READERS["connector"], RESTRICTED, site)
        wrong = measure(replace(READERS["connector"], command=command), RESTRICTED, site)
    assert (run["records"], run["failure"]) == (57 + 2 * 58, "")
    assert re.fullmatch(r"[1-9] contents have other restrictions in bulk", wrong["failure"])


def test_one_workload_that_ran_again_replaces_its_part_of_the_page() -> None:
    def page(wall: float, *names: str) -> str:
        runs = {"connector": [_run(wall=wall)], "dlt": [_run(wall=10.0)]}
        return document({name: _result(WORKLOADS[name], runs) for name in names})

    runs = {"connector": [_run(wall=4.0)], "dlt": [_run(wall=10.0)]}
    again = {"latency-200": _result(WORKLOADS["latency-200"], runs)}
    assert updated(page(5.0, "latency-50", "latency-200"), again).count("| 0.40 |") == 2
    added = updated(page(5.0, "latency-50"), again)
    assert updated(added, again) == added
    assert added.count("### ") == 2
    assert "| 200 ms a response: wall ÷ dlt, one list | 0.35 | 0.40 | **no** |" in added


def test_a_failed_run_does_not_count() -> None:
    def command(job: Job) -> list[str]:
        return READERS["bare"].command(job._replace(access={**job.access, "api_token": "wrong"}))

    with served(TINY.sizes) as site:
        run = measure(replace(READERS["bare"], command=command), TINY, site)
    assert run["failure"].startswith("ended with 1: ")
    assert list(goals({"latency-0": _result(TINY, {"connector": [run]})})) == []


@pytest.mark.parametrize(("seconds", "met"), [(5.0, "yes"), (5.1, "**no**")])
def test_a_goal_is_met_or_missed_as_measured(seconds: float, met: str) -> None:
    runs = {"connector": [_run(wall=seconds)], "dlt": [_run(wall=10.0)]}
    text = document({"latency-50": _result(WORKLOADS["latency-50"], runs)})
    (row,) = [line for line in text.splitlines() if line.startswith("| 50 ms a response: wall")]
    assert row.split("|")[3:5] == [f" {seconds / 10:.2f} ", f" {met} "]


def _run(**values: float) -> dict[str, Any]:
    numbers = {"wall": 1.0, "cpu": 1.0, "memory": 100.0, "asking": 1.0, "site_cpu": 0.1}
    return {**numbers, "requests": 80, "refused": 0, "records": 20_000, "failure": "", **values}


def _result(workload: Workload, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {"today": "2026-01-01", "machine": "a machine", "workload": asdict(workload), "runs": runs}
