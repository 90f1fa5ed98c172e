"""Run each reader in its own process, in turns, and measure it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.readers import CONNECTOR, READERS, Job, Reader
from benchmarks.site import Site, served
from benchmarks.workloads import BODY_BYTES, Workload
from common.restrictions import BULK, in_bulk, of_each

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST = 900
COUNTED = {"spec": b'{"type":"SPEC"', "read": b'{"type":"RECORD"'}


def run_all(workloads: Mapping[str, Workload]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run workloads, and yield the results of each, in the form in which they are stored.

    This process must stay small: a child inherits its memory, which counts as the child's until it starts its program.
    """
    for sizes, same_site in groupby(workloads.items(), key=lambda item: item[1].sizes):
        with served(sizes) as site:
            for name, workload in same_site:
                print(f"{name}: {workload.title}", flush=True)
                result = {"today": time.strftime("%Y-%m-%d"), "workload": asdict(workload)}
                yield name, {**result, "runs": _runs(workload, site)}


def _runs(workload: Workload, site: Site) -> dict[str, list[dict[str, Any]]]:
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in workload.rounds}
    state = (
        measure(READERS[CONNECTOR], replace(workload, latency=0), site)["state"] if workload.again else None
    )
    for number in range(max(workload.rounds.values())):
        for name in [name for name, rounds in workload.rounds.items() if number < rounds]:
            run = measure(READERS[name], workload, site, state)
            print(f"  {READERS[name].label:<28}{run['wall']:7.2f} s, {run['cpu']:6.2f} s CPU, ", end="")
            print(f"{run['memory']:5.0f} MB, {run['requests']} requests, ", end="")
            print(run["failure"] or f"{run['records']:,} records", flush=True)
            runs[name].append(run)
    return runs


def measure(reader: Reader, workload: Workload, site: Site, state: Any = None) -> dict[str, Any]:
    """Run one read; return the measures, and why the run does not count (empty if it counts).

    The measures are seconds from start to end (`wall`), of the processor (`cpu`) and from the first request to the
    last (`asking`); the peak `memory` in MB; and the counts of the site. Of several parts, CPU time and memory are
    those of all processes together; `walls` and `memories` have those of each.
    """
    with TemporaryDirectory() as directory:
        jobs = list(_jobs(workload, site.access(), Path(directory), state))
        site.begin(workload.latency, workload.rate)
        with ThreadPoolExecutor(len(jobs)) as pool:
            ran = list(pool.map(lambda job: _run_process(reader.command(job), job.directory), jobs))
        traffic = site.end()
        printed = ran[0].printed
        counts = [
            _messages(run.printed, workload.command) if reader.airbyte else (_last_number(run.printed), [])
            for run in ran
        ]
        records, states = sum(count for count, _ in counts), counts[0][1]
        failure = ""
        if failed := [run for run in ran if run.status]:
            failure = f"ended with {failed[0].status}: {failed[0].error}"
        elif workload.records not in (None, records):
            failure = f"{records:,} records instead of {workload.records:,}"
        elif workload.command == "read" and workload.bodies and reader.writes_bodies:
            held = sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())
            failure = "" if held > BODY_BYTES * records else "bodies are missing"
        elif BULK in workload.streams and len(workload.streams) > 1:
            with ProcessPoolExecutor(
                1, get_context("spawn")
            ) as other:  # it reads all records into its memory
                failure = other.submit(_differences, printed).result()
        else:
            arrived = sorted(path.stat().st_size for path in Path(directory).glob("**/attachment_files/*/*"))
            failure = "" if arrived == sorted(workload.site.get("files", ())) else f"files of {arrived} bytes"
    return {
        "wall": max(run.wall for run in ran),
        "walls": [run.wall for run in ran],
        "cpu": sum(run.usage.ru_utime + run.usage.ru_stime for run in ran),
        "memory": sum(run.usage.ru_maxrss for run in ran) / 1024,
        "memories": [run.usage.ru_maxrss / 1024 for run in ran],
        "records": records,
        "state": states,
        "failure": failure,
        **traffic._asdict(),
    }


class _Run(NamedTuple):
    """A process: its status, resource usage and seconds, the file with its output, and the end of its errors."""

    status: int
    usage: Any
    wall: float
    printed: Path
    error: str


def _jobs(workload: Workload, access: dict[str, str], directory: Path, state: Any) -> Iterator[Job]:
    """Yield a job for each part, with a directory of its own."""
    for number in range(1, workload.parts + 1):
        part = {"part": f"{number}/{workload.parts}"} if workload.parts > 1 else {}
        own = directory / str(number)
        own.mkdir()
        yield Job(workload, {**access, **part}, own, state)


def _run_process(command: list[str], directory: Path) -> _Run:
    printed, errors = directory / "printed", directory / "errors"
    began = time.perf_counter()
    with printed.open("wb") as out, errors.open("wb") as err:
        env = {**os.environ, "AIRBYTE_STAGING_DIRECTORY": str(directory)}  # for downloaded files
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=directory, env=env)  # noqa: S603 - our own commands
        limit = threading.Timer(LONGEST, process.kill)
        limit.start()
        _, status, usage = os.wait4(process.pid, 0)
        limit.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
    words = " ".join(errors.read_text(encoding="utf-8", errors="replace").replace("|", " ").split())
    return _Run(process.returncode, usage, wall, printed, re.sub(r"https?://\S+", "…", words)[-150:])


def _messages(printed: Path, command: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of records (or specs), and the last state of each stream."""
    count, states = 0, {}
    with printed.open("rb") as lines:
        for line in lines:
            count += COUNTED[command] in line[:200]
            if line.startswith(b'{"type":"STATE"'):
                state = json.loads(line)["state"]
                states[state["stream"]["stream_descriptor"]["name"]] = state
    return count, list(states.values())


def _differences(printed: Path) -> str:
    """Say how many contents have other restrictions in bulk than one by one; nothing if all are equal."""
    records = defaultdict(list)
    with printed.open("rb") as lines:
        for line in lines:
            if COUNTED["read"] in line[:200]:
                record = json.loads(line)["record"]
                records[record["stream"]].append(record["data"])
    bulk, each = in_bulk(records), of_each(records)
    wrong = sum(each.get(content) != lists for content, lists in bulk.items())
    wrong += len(records[BULK]) - len(bulk)
    return f"{wrong:,} contents have other restrictions in bulk" if wrong else ""


def _last_number(printed: Path) -> int:
    lines = printed.read_text(encoding="utf-8").split()
    return int(lines[-1]) if lines and lines[-1].isdigit() else 0
