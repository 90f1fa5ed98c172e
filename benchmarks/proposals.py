"""Measure what each component saves: the numbers in docs/cdk-proposals.md.

    python -m benchmarks proposals

Reads 100,000 pages of 4 KB in 200 spaces without latency, in turns: with every component, without each component,
and without any. Then the same for the versions of 4,000 pages in 500 spaces, a request for each page, and for 4,460
records of `content_restrictions`, of which eight fields are removed. Prints the lowest CPU time of the rounds: the
part of the page between its marks. No other program must run on the machine meanwhile.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.readers import CONNECTOR, READERS, Job, Reader
from benchmarks.runner import measure
from benchmarks.site import served
from benchmarks.workloads import WORKLOADS, Workload, large

if TYPE_CHECKING:
    from collections.abc import Mapping

# What is removed: classes of the CDK from the factory's table, methods of our classes, or a setting.
WITHOUT = {
    "OnceDecoder, OnceResponseFilter": ("JsonDecoder", "HttpResponseFilter"),
    "PlainExtractor": ("DpathExtractor",),
    "LeanInterpolation": ("lean",),
    "PartitionCursor.observe": ("observe",),
    "resolve only the selected streams": ("_pre_process_manifest",),
    "read responses in larger pieces": ("PIECE",),
}
WITHOUT_OF_PARENTS = {
    "LeanInterpolation": ("lean",),
    "CountingRouter.get_stream_state": ("get_stream_state",),
}
WITHOUT_OF_FIELDS = {"PlainRemoveFields": ("RemoveFields",)}
ROUNDS = 4


def main() -> None:
    """Print the tables."""
    # So many pages that the start does not hide what one costs
    title = "100,000 pages of 4 KB in 200 spaces"
    _compare(replace(WORKLOADS["latency-0"], title=title, pages=100_000), WITHOUT)
    versions = large(4_000)["versions"]
    title = f"{versions.title} in 500 spaces"
    _compare(replace(versions, title=title, site={**versions.site, "spaces": 500}), WITHOUT_OF_PARENTS)
    restrictions = WORKLOADS["restrictions"].quick()
    title = f"{restrictions.records:,} records of content_restrictions"
    _compare(replace(restrictions, title=title), WITHOUT_OF_FIELDS)


def _compare(workload: Workload, without: Mapping[str, tuple[str, ...]]) -> None:
    everything = tuple(name for names in without.values() for name in names)
    variants = {"nothing": (), **without}
    if len(without) > 1:
        variants["any of these"] = everything
    seconds: dict[str, list[float]] = {label: [] for label in variants}
    with served(workload.sizes) as site:
        for _ in range(ROUNDS):
            for label, names in variants.items():
                run = measure(_reader(names), workload, site)
                if run["failure"]:
                    sys.exit(f"without {label}: {run['failure']}")
                seconds[label].append(run["cpu"])
    complete = min(seconds["nothing"])
    print(f"### {workload.title}\n\n| Without | CPU, s | It saves |\n| :-- | --: | --: |")
    print(f"| nothing | {complete:.2f} | |")
    for label, taken in list(seconds.items())[1:]:
        print(f"| {label} | {min(taken):.2f} | {1 - complete / min(taken):.0%} |")
    print()


def _reader(names: tuple[str, ...]) -> Reader:
    def command(job: Job) -> list[str]:
        return [
            sys.executable,
            "-m",
            "benchmarks.without",
            ",".join(names),
            *READERS[CONNECTOR].command(job)[1:],
        ]

    return replace(READERS[CONNECTOR], command=command)
