"""The goals, the measured values, and whether the values meet the goals."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.readers import BARE, CONNECTOR, DLT, DLT_SPACES, IMPORT, PLAIN, READERS
from benchmarks.workloads import SMALL, TENTH

if TYPE_CHECKING:
    from collections.abc import Iterator

Results = dict[str, dict[str, Any]]
PAGE_SIZE, GROUP = 250, 25


@dataclass(frozen=True)
class Goal:
    """One goal, or a value that is shown without a goal, and the measured value."""

    text: str
    measured: float
    most: float | None
    unit: str = ""
    digits: int = 2
    least: float = 0.0

    @property
    def row(self) -> tuple[str, ...]:
        """The goal, the bounds, the value, and whether the value, as it is printed, is within the bounds."""
        if self.most is None:
            return self.text, "", f"{self.measured:,.{self.digits}f}{self.unit}", ""
        least, most, measured = (
            f"{value:,.{self.digits}f}" for value in (self.least, self.most, self.measured)
        )
        bounds = f"{least} to {most}" if self.least else most
        met = self.least <= round(self.measured, self.digits) <= self.most
        return self.text, f"{bounds}{self.unit}", f"{measured}{self.unit}", "yes" if met else "**no**"


class Known:
    """Results, and values derived from them."""

    def __init__(self, results: Results) -> None:
        """Use results as they are stored."""
        self.results = results

    def __call__(self, name: str, *readers: str) -> bool:
        """Return whether all runs of a workload by these readers succeeded."""
        runs = self.results.get(name, {}).get("runs", {})
        return all(runs.get(reader) and not any(run["failure"] for run in runs[reader]) for reader in readers)

    def median(self, name: str, what: str, reader: str = CONNECTOR) -> float:
        """Return the median of a measure over the runs."""
        return float(median(run[what] for run in self.results[name]["runs"][reader]))

    def ratio(self, name: str, what: str, other: str = "", reader: str = CONNECTOR) -> float:
        """Return the connector's median, divided by that of another workload or reader."""
        return self.median(name, what) / self.median(other or name, what, reader)

    def title(self, name: str) -> str:
        """Return the title of a workload."""
        return str(self.results[name]["workload"]["title"])

    def cost(self, few: str, many: str, reader: str = CONNECTOR) -> float:
        """Return the CPU time of each additional page, without that of the start."""
        pages = self.results[many]["workload"]["pages"] - self.results[few]["workload"]["pages"]
        return (self.median(many, "cpu", reader) - self.median(few, "cpu", reader)) / float(pages)


def goals(results: Results) -> Iterator[Goal]:
    """Yield every goal that has results."""
    known = Known(results)
    for part in (_time, _memory, _requests, _work):
        yield from part(known)


def _time(known: Known) -> Iterator[Goal]:
    for name, goal in (("200", 0.35), ("50", 0.5), ("0", None)):
        for peer, most in ((DLT, goal), (DLT_SPACES, None)):
            if known(f"latency-{name}", CONNECTOR, peer):
                ratio = known.ratio(f"latency-{name}", "wall", reader=peer)
                yield Goal(f"{known.title(f'latency-{name}')}: wall ÷ {READERS[peer].label}", ratio, most)


def _memory(known: Known) -> Iterator[Goal]:
    for name, text in (("spaces-1", "one space"), ("latency-0", "200 spaces")):
        if known(name, CONNECTOR):
            memory = known.median(name, "memory")
            yield Goal(f"Peak memory: 20,000 pages in {text}", memory, 150, " MB", 0)
    if known("latency-0", CONNECTOR, DLT):
        ratio = known.ratio("latency-0", "memory", reader=DLT)
        yield Goal("Peak memory: the same ÷ dlt, one list", ratio, 1.0)
    for name in known.results:
        if known(name, CONNECTOR) and known(name + SMALL, CONNECTOR):
            more = known.median(name, "memory") - known.median(name + SMALL, "memory")
            yield Goal(f"Peak memory: {known.title(name)}, more than small files", more, 30, " MB", 0)
    pairs = [("pages-200000", "latency-0"), *((name, name + TENTH) for name in known.results)]
    for whole, tenth in pairs:
        if known(whole, CONNECTOR) and known(tenth, CONNECTOR):
            ratio = known.ratio(whole, "memory", tenth)
            yield Goal(f"Peak memory: {known.title(whole)} ÷ a tenth", ratio, 1.2)


def _requests(known: Known) -> Iterator[Goal]:
    """Allow a request for each 250 pages, each group of spaces, and each list of spaces of both statuses.

    Three more ask who reads, whether there is a space, and whether anybody can read without a credential: a read that
    does not see everything must not look complete.
    """
    for name in ("spaces-1", "latency-0", "spaces-2000", "skewed", "unchanged"):
        if known(name, CONNECTOR):
            pages, spaces = (known.results[name]["workload"][what] for what in ("pages", "spaces"))
            most = 3 + ceil(spaces / GROUP) + 1 + ceil(spaces / PAGE_SIZE)
            # If the site is unchanged, posts need three requests and comments one.
            most += 4 if name == "unchanged" else ceil(pages / PAGE_SIZE)
            text = (
                f"{known.title(name)}: requests for {pages:,} pages in {spaces:,} space{'s' * (spaces > 1)}"
            )
            yield Goal(text, known.median(name, "requests"), most, "", 0)
    if known("restrictions", CONNECTOR):
        yield Goal(
            f"{known.title('restrictions')}: requests", known.median("restrictions", "requests"), 250, "", 0
        )
    if known("rate-limit", CONNECTOR):
        rate = known.results["rate-limit"]["workload"]["rate"]
        runs = known.results["rate-limit"]["runs"][CONNECTOR]
        settled = median((run["requests"] - run["refused"]) / max(run["asking"], 0.001) for run in runs)
        yield Goal(f"Requests a second where {rate} are allowed", settled, rate, "", 1, least=0.8 * rate)
    if known("rate-parts", CONNECTOR):
        rate = known.results["rate-parts"]["workload"]["rate"]
        text = f"The same in four parts where {rate} are allowed"
        yield Goal(text, known.median("rate-parts", "settled"), rate, "", 1, least=0.9 * rate)
        (run,) = known.results["rate-parts"]["runs"][CONNECTOR]
        yield Goal("Its slowest part ÷ its fastest: wall", max(run["walls"]) / min(run["walls"]), 2.0)


def _work(known: Known) -> Iterator[Goal]:
    for name, most in (("start-spec", 0.9), ("start-read", 1.2)):
        if known(name, CONNECTOR, IMPORT):
            beside = known.median(name, "cpu", IMPORT)
            text = f"{known.title(name)}: CPU (importing the CDK alone: {beside:.2f} s)"
            yield Goal(text, known.median(name, "cpu"), most, " s")
    few, some, many = "pages-2000", "latency-0", "pages-200000"
    for peer, bound in ((PLAIN, 1.2), (BARE, None)):
        if known(few, CONNECTOR, peer) and known(some, CONNECTOR, peer):
            ratio = known.cost(few, some) / known.cost(few, some, peer)
            yield Goal(f"CPU of each page ÷ {READERS[peer].label}, from 2,000 to 20,000 pages", ratio, bound)
    if known(few, CONNECTOR) and known(some, CONNECTOR) and known(many, CONNECTOR):
        growth = known.cost(some, many) / known.cost(few, some)
        yield Goal("CPU of each page from 20,000 to 200,000 ÷ from 2,000 to 20,000", growth, 1.05)
