"""What was measured, as a page of the documentation."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.goals import Known, Results, goal_rows, median_of
from benchmarks.readers import BARE, CONNECTOR, DLT, READERS

HEAD = (
    "Reader",
    "Rounds",
    "Wall, s",
    "÷ dlt",
    "CPU, s",
    "Memory, MB",
    "Requests",
    "Records",
    "Site's CPU, s",
)


PAGE = """\
# Benchmarks

`make bench` writes this page. It serves an embedded Confluence site from a process of its own, runs each
reader as a process of its own, in turns, and takes what the operating system says of it. A run whose records
are not complete is reported as failed.

![Time and memory of each reader](benchmarks.svg)

## Goals

{goals}
The goals were set against dlt in one list. A list for each space makes dlt faster: those ratios stand beside,
held against the same goals.

## Who and where

{readers}

{machines}

## What was measured

Minimum / median / maximum of the rounds. *CPU* is user and system time of the reader, *Memory* the most that
it held at once, *Site's CPU* what answering took in the site's process. {site}

{tables}"""
SITE = """\
The site does not limit the readers:
without latency the bare loop reads {pages:,.0f} pages a second, and the site works {bare:.0%} of that time;
it works {ours:.0%} of the time that the connector takes."""


def document(results: Results) -> str:
    """Return docs/benchmarks.md."""
    machines = sorted({f"Measured on {told['today']}: {told['machine']}." for told in results.values()})
    shown = [name for name in READERS if any(name in told["runs"] for told in results.values())]
    return PAGE.format(
        goals=_markdown(goal_rows(results)),
        readers="\n".join(f"- **{READERS[name].label}**: {READERS[name].about}." for name in shown),
        machines="\n\n".join(machines),
        site=_site_is_fast(results),
        tables=tables(results),
    )


def _site_is_fast(results: Results) -> str:
    known = Known(results)
    if not known("latency-0", CONNECTOR, BARE):
        return ""
    bare = known.median("latency-0", "wall", BARE)
    return SITE.format(
        pages=known.median("latency-0", "records", BARE) / bare,
        bare=known.median("latency-0", "site_cpu", BARE) / bare,
        ours=known.median("latency-0", "site_cpu") / known.median("latency-0", "wall"),
    )


def tables(results: Results) -> str:
    """Return a table for each workload, with what was run above it."""
    return "\n".join(
        f"### {told['workload']['title']}\n\n{_said(name, told)}\n\n{_table(told)}"
        for name, told in results.items()
    )


def failures(results: Results) -> str | None:
    """Name the runs that do not count; None when all do. What others do at a rate limit is a result."""
    failed = [
        f"{name}: {READERS[reader].label} {run['failure']}"
        for name, told in results.items()
        for reader, runs in told["runs"].items()
        for run in runs
        if run["failure"] and (reader == CONNECTOR or not told["workload"]["rate"])
    ]
    return "\n".join(failed) or None


def _said(name: str, told: dict[str, Any]) -> str:
    """Say what was read, and how to read it again."""
    workload = told["workload"]
    spaces = f"{workload['spaces']:,} space{'s' if workload['spaces'] > 1 else ''}"
    parts = [f"{workload['pages']:,} pages in {spaces}"]
    if workload["skew"]:
        parts.append(f"{workload['skew']:.0%} of them in one")
    if workload["command"] == "read":
        parts.append("bodies of 6 KB" if workload["bodies"] else "read without bodies")
    parts += [f"{count:,} {kind.replace('_', ' ')}" for kind, count in workload["site"].items()]
    parts.append(f"{workload['latency'] * 1000:.0f} ms an answer")
    if workload["rate"]:
        parts.append(f"429 beyond {workload['rate']} requests a second")
    if workload["again"]:
        parts.append("the state of a read just before")
    return f"{', '.join(parts)}. Again: `python -m benchmarks --only {name}`"


def _table(told: dict[str, Any]) -> str:
    base = [run for run in told["runs"].get(DLT, []) if not run["failure"]]
    rows = [HEAD, tuple("---" if n == 0 else "--:" for n in range(len(HEAD)))]
    for name, runs in told["runs"].items():
        failed = [run["failure"] for run in runs if run["failure"]]
        rows.append(
            (
                READERS[name].label,
                str(len(runs)),
                _spread(runs, "wall", 2),
                f"{median_of(runs, 'wall') / median_of(base, 'wall'):.2f}" if base else "",
                _spread(runs, "cpu", 2),
                _spread(runs, "memory", 0),
                _spread(runs, "requests", 0)
                + (f" ({_spread(runs, 'refused', 0)} refused)" if told["workload"]["rate"] else ""),
                f"failed: {failed[0]}" if failed else _spread(runs, "records", 0),
                _spread(runs, "site_cpu", 2),
            )
        )
    return _markdown(rows)


def _markdown(rows: list[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _spread(runs: list[dict[str, Any]], what: str, digits: int) -> str:
    """Return minimum, median and maximum, or the one value where they do not differ."""
    values = [run[what] for run in runs]
    shown = [f"{value:,.{digits}f}" for value in (min(values), median(values), max(values))]
    return shown[0] if shown[0] == shown[2] else " / ".join(shown)
