"""Compare the connector with other programs that read Confluence.

    python -m benchmarks                     every workload, about 20 minutes: docs/benchmarks.md
    python -m benchmarks --quick             a small version, two or three minutes; writes nothing
    python -m benchmarks --only latency-50   one workload again, and its part of the page
    python -m benchmarks proposals           what each component saves, ten minutes: docs/cdk-proposals.md
    python -m benchmarks scale               whether large sites are read completely, in constant memory
    python -m benchmarks files               whether memory stays constant while large files are downloaded
    python -m benchmarks parts               ten times the workloads of parts, about ten minutes

`make bench` installs dlt in a separate environment, and runs the first command. Results are stored in build/. No
other program must run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import proposals
from benchmarks.goals import Results
from benchmarks.report import document, failures, goal_table, tables, updated
from benchmarks.runner import run_all
from benchmarks.workloads import WORKLOADS, files, in_parts, scale

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "build" / "benchmarks.json", ROOT / "docs" / "benchmarks.md"


def main() -> None:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="?", choices=["run", "proposals", "scale", "files", "parts"], default="run"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the pages, one round")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="NAME", help=", ".join(WORKLOADS))
    parser.add_argument("--records", type=int, default=100_000, help="of each read of scale")
    given = parser.parse_args()
    if given.what == "proposals":
        proposals.main()
        return
    others = {"scale": scale(given.records), "files": files(300), "parts": in_parts(200_000)}
    chosen = {"run": WORKLOADS, **others}[given.what]
    chosen = {name: chosen[name] for name in given.only or chosen}
    if given.quick:
        chosen = {name: workload.quick() for name, workload in chosen.items()}
    measured = dict(run_all(chosen))
    print(goal_table(measured))
    if given.what in ("run", "parts"):
        print(tables(measured))
    if given.what == "run" and not given.quick:
        keep(measured)
    sys.exit(failures(measured))


def keep(measured: Results) -> None:
    """Store results; write the page if there are results of all workloads, otherwise its parts."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    kept |= measured
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept), encoding="utf-8")
    if set(WORKLOADS) <= set(kept):
        page = document({name: kept[name] for name in WORKLOADS})
    else:
        page = updated(PAGE.read_text(encoding="utf-8"), measured)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
