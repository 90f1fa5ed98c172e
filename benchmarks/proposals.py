"""What each of the connector's shortcuts through the CDK saves: the numbers in docs/cdk-proposals.md.

    python -m benchmarks proposals

Reads 20,000 pages of 4 KB in 200 spaces without latency, each time without some of the shortcuts, in turns,
and prints the least CPU of three rounds; then what starting takes. The machine must do nothing else.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.readers import CONNECTOR, READERS, Job, Reader
from benchmarks.runner import measure, run_process
from benchmarks.scale import pages_of_one_label
from benchmarks.site import SiteProcess
from benchmarks.workloads import Workload

ROUNDS = 3
ANSWERS = ("_safe_response_json", "decode", "extract_records")
TEMPLATES = ("_literal_eval", "_compile", "dpath")
HANDING_OVER = ("process_partition", "Queue")
ALL = (*ANSWERS, *TEMPLATES, *HANDING_OVER, "_built", "_validate_source")
WITHOUT: dict[str, tuple[str, ...]] = {
    "with all": (),
    "answers decoded anew and searched through": ANSWERS,
    "templates and literals as they were": TEMPLATES,
    "cursors told of every record, records handed over singly": HANDING_OVER,
    "every stream built": ("_built",),
    "the manifest validated": ("_validate_source",),
    "without any": ALL,
}
READ = "import sys; from benchmarks.proposals import read_without as read; read(sys.argv[1], sys.argv[2:])"
START = {
    "import airbyte_cdk": "import airbyte_cdk",
    "the same, without reading the sources of classes for the comments in them": (
        "import attributes_doc; attributes_doc.get_attributes_doc = lambda *_: {}; import airbyte_cdk"
    ),
}


def main() -> None:
    """Print both tables."""
    workload = Workload("20,000 pages of 4 KB", {}, site={"body_bytes": 4_000})
    seconds: dict[str, list[float]] = {label: [] for label in WITHOUT}
    with SiteProcess(workload.sizes) as site:
        for _ in range(ROUNDS):
            for label, names in WITHOUT.items():
                run = measure(_reader(names), workload, site)
                seconds[label].append(run.cpu)
    print("CPU of a read of 20,000 pages of 4 KB in 200 spaces, seconds, least of three")
    for label, taken in seconds.items():
        print(f"  {label:<70}{min(taken):6.2f}")
    print("CPU of a read of one label on 20,000 pages, of whose records 22 fields are taken away, seconds")
    labelled = pages_of_one_label(20_000)
    with SiteProcess(labelled.sizes) as site:
        for label, names in (("with all", ()), ("each field looked for by dpath", ("dpath",))):
            print(f"  {label:<70}{measure(_reader(names), labelled, site).cpu:6.2f}")
    print("CPU of a start, seconds, least of three")
    for label, program in START.items():
        print(f"  {label:<70}{min(_start(program) for _ in range(ROUNDS)):6.2f}")


def _start(program: str) -> float:
    with TemporaryDirectory() as directory:
        status, usage, _, error = run_process([sys.executable, "-c", program], directory)
    if status:
        sys.exit(error)
    return float(usage.ru_utime + usage.ru_stime)


def _reader(names: tuple[str, ...]) -> Reader:
    def command(job: Job) -> list[str]:
        return [sys.executable, "-c", READ, ",".join(names), *READERS[CONNECTOR].command(job)[1:]]

    return replace(READERS[CONNECTOR], command=command)


def _all_built(source: Any, _: Any, catalog: Any) -> Any:
    return source._select_streams(source.streams(source._config), catalog)  # noqa: SLF001 - as the CDK does


def read_without(names: str, arguments: list[str]) -> None:
    """Read like the console script, some shortcuts (separated by commas) taken away."""
    from source_confluence import fast_records, run, source  # noqa: PLC0415 - large: it would be counted as the memory of who is measured

    connector: Any = source.SourceConfluence
    for owner, name, original in fast_records.ORIGINALS:
        if name in names.split(","):
            setattr(owner, name, original)
    if "_validate_source" in names:
        del connector._validate_source  # noqa: SLF001 - our own
    if "_built" in names:
        connector._built = _all_built  # noqa: SLF001 - our own
    run.run(arguments)
