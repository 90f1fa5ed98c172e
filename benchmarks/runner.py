"""Run each reader in its own process, in turns, and measure it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections import defaultdict
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

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
    last (`asking`); the peak `memory` in MB; and the counts of the site.
    """
    with TemporaryDirectory() as directory:
        job = Job(workload, site.access(), Path(directory), state)
        site.begin(workload.latency, workload.rate)
        began = time.perf_counter()
        status, usage, printed, error = _run_process(reader.command(job), job.directory)
        wall = time.perf_counter() - began
        traffic = site.end()
        records, states = (
            _messages(printed, workload.command) if reader.airbyte else (_last_number(printed), [])
        )
        failure = ""
        if status:
            failure = f"ended with {status}: {error}"
        elif workload.records not in (None, records):
            failure = f"{records:,} records instead of {workload.records:,}"
        elif workload.command == "read" and workload.bodies and reader.writes_bodies:
            held = sum(path.stat().st_size for path in job.directory.rglob("*") if path.is_file())
            failure = "" if held > BODY_BYTES * records else "bodies are missing"
        elif BULK in workload.streams and len(workload.streams) > 1:
            failure = _differences(printed)
        else:
            arrived = sorted(path.stat().st_size for path in job.directory.glob("attachment_files/*/*"))
            failure = "" if arrived == sorted(workload.site.get("files", ())) else f"files of {arrived} bytes"
    return {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss / 1024,
        "records": records,
        "state": states,
        "failure": failure,
        **traffic._asdict(),
    }


def _run_process(command: list[str], directory: Path) -> tuple[int, Any, Path, str]:
    """Run a command; return its status, its resource usage, the file with its output, and the end of its errors."""
    printed, errors = directory / "printed", directory / "errors"
    with printed.open("wb") as out, errors.open("wb") as err:
        env = {**os.environ, "AIRBYTE_STAGING_DIRECTORY": str(directory)}  # for downloaded files
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=directory, env=env)  # noqa: S603 - our own commands
        limit = threading.Timer(LONGEST, process.kill)
        limit.start()
        _, status, usage = os.wait4(process.pid, 0)
        limit.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    words = " ".join(errors.read_text(encoding="utf-8", errors="replace").replace("|", " ").split())
    return process.returncode, usage, printed, re.sub(r"https?://\S+", "…", words)[-150:]


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
