"""Write the results as a page of the documentation."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.goals import Known, Results, goals
from benchmarks.readers import BARE, CONNECTOR, DLT, DLT_SPACES, PEERS, READERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The measures, and their decimal places.
COLUMNS = {"wall": 2, "cpu": 2, "memory": 0, "requests": 0, "records": 0, "site_cpu": 2}
HEAD = (
    "Reader",
    "Rounds",
    "Wall, s",
    "CPU, s",
    "Memory, MB",
    "Requests",
    "Records",
    "Site's CPU, s",
    "÷ dlt",
)
PAGE = """\
# Benchmarks

`make bench` writes this page. It serves an embedded Confluence site from a separate process and runs each reader in
its own process, in turns. Time and memory come from the operating system. A run with missing records counts as failed.

## Goals

{goals}
## Where dlt is faster

{faster}

## Readers

{readers}

Measured on {machine}. `make peers` renews dlt and its dependencies, so that a goal does not become easy with their age.

## Workloads

Minimum / median / maximum of the rounds. *CPU* is user and system time of the reader, *Memory* its peak memory,
*Site's CPU* the CPU time of the site's process. {site}
Of several parts, the values of each process are in brackets; *Memory* is the sum. They share the cores with the site.
The command after *Again* writes its result into this page.

{tables}"""


def document(results: Results) -> str:
    """Return docs/benchmarks.md."""
    days = " and ".join(sorted({result["today"] for result in results.values()}))
    shown = [name for name in READERS if any(name in result["runs"] for result in results.values())]
    known, site = Known(results), ""
    if known("latency-0", CONNECTOR, BARE):
        part = known.median("latency-0", "site_cpu", BARE) / known.median("latency-0", "wall", BARE)
        site = f"The site does not limit\nthe readers: it works {part:.0%} of the time of the bare loop."
    return PAGE.format(
        goals=goal_table(results),
        faster="\n".join(_where_dlt_is_faster(known)) or "In no workload.",
        readers="\n".join(f"- **{READERS[name].label}**: {READERS[name].about}." for name in shown),
        machine=f"{days}: {_machine()}",
        site=site,
        tables=tables(results),
    )


def updated(page: str, results: Results) -> str:
    """Return a page with these results in place of earlier ones of the same workloads."""
    for name, result in results.items():
        section = tables({name: result})
        title = section.partition("\n")[0]
        found = re.search(rf"{re.escape(title)}\n.*?(?=\n### |\Z)", page, re.DOTALL)
        page = page.replace(found[0], section) if found else f"{page}\n{section}"
    for goal in goals(results):
        row = _line(goal.row)
        found = re.search(rf"^\| {re.escape(goal.text)} \|.*\n", page, re.MULTILINE)
        page = (
            page.replace(found[0], row) if found else page.replace("\n## Where dlt", f"{row}\n## Where dlt")
        )
    return page


def goal_table(results: Results) -> str:
    """Return a table of the goals."""
    head = ("Goal", "At most", "Measured", "Met")
    return _markdown([head, *(goal.row for goal in goals(results))])


def tables(results: Results) -> str:
    """Return a table for each workload, with a description above it."""
    return "\n".join(
        f"### {result['workload']['title']}\n\n{_described(name, result)}\n\n{_table(result)}"
        for name, result in results.items()
    )


def failures(results: Results) -> str | None:
    """Name the failed runs; return None if all succeeded. At a rate limit, a peer's failure is a result."""
    failed = [
        f"{name}: {READERS[reader].label} {run['failure']}"
        for name, result in results.items()
        for reader, runs in result["runs"].items()
        for run in runs
        if run["failure"] and (reader == CONNECTOR or not result["workload"]["rate"])
    ]
    return "\n".join(failed) or None


def _where_dlt_is_faster(known: Known) -> Iterator[str]:
    for name, result in known.results.items():
        for peer in (DLT, DLT_SPACES):
            if known(name, CONNECTOR, peer):
                theirs, ours = known.median(name, "wall", peer), known.median(name, "wall")
                if theirs < ours:
                    title = f"- **{result['workload']['title']}**: {READERS[peer].label}"
                    yield f"{title} {theirs:.2f} s, this connector {ours:.2f} s ({ours / theirs:.2f} times)."


def _machine() -> str:
    """Describe this machine without naming it, and the versions of the programs."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    peers = (PEERS / "dlt.txt").read_text(encoding="utf-8")
    dlt = re.findall(r"^((?:dlt|jsonpath-ng)==\S+)(?:$| .*>= )", peers, re.MULTILINE)
    pinned = [f"{name}=={version(name)}" for name in ("airbyte-cdk", "requests", "orjson")] + dlt
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GB of memory, {system}, {', '.join(pinned)}"


def _described(name: str, result: dict[str, Any]) -> str:
    """Describe what was read and when, and the command that reads it again."""
    workload = result["workload"]
    spaces = f"{workload['spaces']:,} space{'s' if workload['spaces'] > 1 else ''}"
    parts = [f"{workload['pages']:,} pages in {spaces}"]
    parts.append("bodies of 4 KB" if workload["bodies"] else "read without bodies")
    parts.append(f"{workload['latency'] * 1000:.0f} ms a response")
    if workload["rate"]:
        parts.append(f"429 beyond {workload['rate']} requests a second")
    if sizes := workload["site"].get("files"):
        parts.append(f"{len(sizes):,} files of {sizes[0] // 1000:,} KB")
    if workload["again"]:
        parts.append(f"{', '.join(workload['streams'])} from the state of a read just before")
    return f"{', '.join(parts)}, {result['today']}. Again: `.venv/bin/python -m benchmarks --only {name}`"


def _table(result: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [HEAD]
    base = [run["wall"] for run in result["runs"].get(DLT, []) if not run["failure"]]
    for name, runs in result["runs"].items():
        cells = {what: _spread([run[what] for run in runs], digits) for what, digits in COLUMNS.items()}
        if result["workload"]["rate"]:
            cells["requests"] += f" ({_spread([run['refused'] for run in runs], 0)} refused)"
        if result["workload"].get("parts", 1) > 1:
            cells["wall"] += f" ({', '.join(f'{it:.2f}' for it in runs[0]['walls'])})"
            cells["memory"] += f" ({' + '.join(f'{it:.0f}' for it in runs[0]['memories'])})"
        cells["records"] = next((f"failed: {r['failure']}" for r in runs if r["failure"]), cells["records"])
        ratio = f"{median(run['wall'] for run in runs) / median(base):.2f}" if base else ""
        rows.append((READERS[name].label, str(len(runs)), *cells.values(), ratio))
    return _markdown(rows)


def _markdown(rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table with right-aligned numbers."""
    head, *others = rows
    line = ("---", *("---" if title == "Met" else "--:" for title in head[1:]))
    return "".join(map(_line, (head, line, *others)))


def _line(row: tuple[str, ...]) -> str:
    return f"| {' | '.join(row)} |\n"


def _spread(values: list[float], digits: int) -> str:
    """Return minimum, median and maximum, or one value if they are equal."""
    shown = [f"{value:,.{digits}f}" for value in (min(values), median(values), max(values))]
    return shown[0] if shown[0] == shown[2] else " / ".join(shown)
