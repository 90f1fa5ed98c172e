"""The goals, what was measured, and whether that meets them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.readers import BARE, CONNECTOR, DLT, DLT_SPACES, READERS

if TYPE_CHECKING:
    from collections.abc import Iterator

Results = dict[str, dict[str, Any]]
PAGE_SIZE, GROUP = 250, 25


@dataclass(frozen=True)
class Goal:
    """One goal, and what was measured."""

    text: str
    measured: float
    most: float
    unit: str = ""
    digits: int = 2
    least: float = 0.0

    @property
    def met(self) -> bool:
        """Tell whether what was measured, as it is printed, lies within the goal."""
        return self.least <= round(self.measured, self.digits) <= self.most


def goal_rows(results: Results) -> list[tuple[str, ...]]:
    """Return a table of the goals."""
    rows: list[tuple[str, ...]] = [("Goal", "At most", "Measured", "Met"), ("---", "--:", "--:", "---")]
    for goal in goals(results):
        bound = f"{goal.most:,.{goal.digits}f}{goal.unit}"
        if goal.least:
            bound = f"{goal.least:,.{goal.digits}f} to {bound}"
        measured = f"{goal.measured:,.{goal.digits}f}{goal.unit}"
        rows.append((goal.text, bound, measured, "yes" if goal.met else "**no**"))
    return rows


def goals(results: Results) -> Iterator[Goal]:
    """Yield every goal for which there are results."""
    known = Known(results)
    for part in (_time, _memory, _requests, _growth, _rate):
        yield from part(known)


def _time(known: Known) -> Iterator[Goal]:
    for name, most in (("latency-200", 0.35), ("latency-50", 0.8), ("latency-0", 1.0)):
        for peer in (DLT, DLT_SPACES):
            if known(name, CONNECTOR, peer):
                ratio = known.median(name, "wall") / known.median(name, "wall", peer)
                yield Goal(f"{known.workload(name)['title']}: wall ÷ {READERS[peer].label}", ratio, most)


def _memory(known: Known) -> Iterator[Goal]:
    if known("spaces-1", CONNECTOR):
        one = known.median("spaces-1", "memory")
        yield Goal("Peak memory of one chain (20,000 pages in one space)", one, 150, " MB", 0)
    if known("latency-0", CONNECTOR):
        several = known.median("latency-0", "memory")
        yield Goal("Peak memory of a concurrent read (20,000 pages in 200 spaces)", several, 250, " MB", 0)
        if known("latency-0", DLT):
            ratio = several / known.median("latency-0", "memory", DLT)
            yield Goal("The same ÷ dlt, one list", ratio, 1.0)
        if known("pages-200000", CONNECTOR):
            more = known.median("pages-200000", "memory") / several
            yield Goal("Peak memory for 200,000 pages ÷ for 20,000", more, 1.2)


def _requests(known: Known) -> Iterator[Goal]:
    """Hold the requests against one for each 250 pages, and one for each partition.

    Partitions are the groups of spaces, and the two statuses in which the spaces are listed.
    """
    for name in ("spaces-1", "latency-0", "spaces-2000", "skewed"):
        if known(name, CONNECTOR):
            pages, spaces = (known.workload(name)[what] for what in ("pages", "spaces"))
            lists = 1 + ceil(spaces / PAGE_SIZE)
            most = ceil(pages / PAGE_SIZE) + ceil(spaces / GROUP) + lists
            crowded = ", one with 80 %" if name == "skewed" else ""
            text = f"Requests for {pages:,} pages in {spaces:,} space{'s' if spaces > 1 else ''}{crowded}"
            yield Goal(text, known.median(name, "requests"), most, "", 0)


def _growth(known: Known) -> Iterator[Goal]:
    if not (known("pages-2000", CONNECTOR) and known("latency-0", CONNECTOR)):
        return
    each = known.cost("pages-2000", "latency-0")
    if known("pages-200000", CONNECTOR):
        growth = known.cost("latency-0", "pages-200000") / each
        yield Goal("CPU of each page from 20,000 to 200,000 ÷ from 2,000 to 20,000", growth, 1.05)
    if known("pages-2000", BARE) and known("latency-0", BARE):
        ratio = each / known.cost("pages-2000", "latency-0", BARE)
        yield Goal("CPU of each page ÷ bare loop, from 2,000 to 20,000 pages", ratio, 3.0)


def _rate(known: Known) -> Iterator[Goal]:
    if known("rate-limit", CONNECTOR):
        rate = known.workload("rate-limit")["rate"]
        settled = median(
            (run["requests"] - run["refused"]) / max(run["asking"], 0.001) for run in known.runs("rate-limit")
        )
        text = f"Requests answered a second where {rate} are allowed"
        yield Goal(text, settled, rate, "", 1, least=0.8 * rate)


class Known:
    """The results, for who asks."""

    def __init__(self, results: Results) -> None:
        """Take results as they are kept."""
        self._results = results

    def __call__(self, name: str, *readers: str) -> bool:
        """Tell whether these readers have read this, and all of their runs count."""
        runs = self._results.get(name, {}).get("runs", {})
        return all(runs.get(reader) and not any(run["failure"] for run in runs[reader]) for reader in readers)

    def workload(self, name: str) -> dict[str, Any]:
        """Return what was read."""
        return dict(self._results[name]["workload"])

    def runs(self, name: str, reader: str = CONNECTOR) -> list[dict[str, Any]]:
        """Return the runs of a reader."""
        return list(self._results[name]["runs"][reader])

    def median(self, name: str, what: str, reader: str = CONNECTOR) -> float:
        """Return the median of what the runs took."""
        return median_of(self.runs(name, reader), what)

    def cost(self, few: str, many: str, reader: str = CONNECTOR) -> float:
        """Return the CPU that each page more takes, in which starting has no part."""
        pages = self.workload(many)["pages"] - self.workload(few)["pages"]
        return (self.median(many, "cpu", reader) - self.median(few, "cpu", reader)) / float(pages)


def median_of(runs: list[dict[str, Any]], what: str) -> float:
    """Return the median of what runs took."""
    return float(median(run[what] for run in runs))
