"""Measure the connector beside others that read Confluence.

    python -m benchmarks                     every workload, about 20 minutes: docs/benchmarks.md and its plot
    python -m benchmarks --quick             the same in small, two or three minutes; nothing is written
    python -m benchmarks --only latency-50   one workload again; the rest stays what it was
    python -m benchmarks report              the page and its plot again, from what is kept in results.json
    python -m benchmarks incremental         the requests of incremental syncs, and what groups of spaces save
    python -m benchmarks proposals           what each shortcut through the CDK saves: docs/cdk-proposals.md
    python -m benchmarks scale               whether large sites are read to the end, in the same memory

`make bench` installs the others, each in an environment of its own, and runs the first. The machine must do
nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import incremental, proposals, scale
from benchmarks.report import document, failures, tables
from benchmarks.runner import run_all
from benchmarks.workloads import WORKLOADS

RESULTS = Path(__file__).with_name("results.json")
DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whats = ["run", "report", "incremental", "proposals", "scale"]
    parser.add_argument("what", nargs="?", choices=whats, default="run")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the pages, one round, nothing written"
    )
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="NAME", help=", ".join(WORKLOADS))
    sizes = parser.add_argument_group("of scale alone")
    sizes.add_argument("--pages", type=int, default=scale.PAGES, help="to read with their bodies")
    sizes.add_argument("--children", type=int, default=scale.CHILDREN, help="of one parent")
    sizes.add_argument("--partitions", type=int, default=scale.PARTITIONS, help="pages to ask for one by one")
    sizes.add_argument("--cursors", type=int, default=scale.CURSORS, help="the same with a cursor for each")
    sizes.add_argument("--workers", type=int, nargs="+", default=scale.ALL_WORKERS, help="who ask for them")
    given = parser.parse_args()
    if given.what == "incremental":
        incremental.main()
        return
    if given.what == "proposals":
        proposals.main()
        return
    if given.what == "scale":
        scale.main(given.pages, given.children, given.partitions, given.cursors, given.workers)
        return
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if given.what == "run":
        chosen = {name: WORKLOADS[name] for name in given.only or WORKLOADS}
        if given.quick:
            measured = dict(run_all({name: workload.quick() for name, workload in chosen.items()}))
            print(tables(measured))
            sys.exit(failures(measured))
        for name, result in run_all(chosen):
            results[name] = result
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    results = {name: results[name] for name in WORKLOADS if name in results}
    text = document(results)
    (DOCS / "benchmarks.md").write_text(text, encoding="utf-8")
    from benchmarks.plot import draw  # noqa: PLC0415 - large: it would be counted as the memory of who is measured

    draw(results, DOCS / "benchmarks.svg")
    print(text)
    sys.exit(failures(results))


if __name__ == "__main__":
    main()
