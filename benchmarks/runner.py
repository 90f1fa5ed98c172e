"""Run each reader as a process of its own, in turns, and note what it took."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.machine import machine
from benchmarks.readers import CONNECTOR, READERS, Job, Reader
from benchmarks.site import SiteProcess
from benchmarks.workloads import BODY_BYTES, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST = 900
COUNTED = {"spec": b'{"type":"SPEC"', "check": b'"status":"SUCCEEDED"', "read": b'{"type":"RECORD"'}


@dataclass(frozen=True)
class Run:
    """What one run took.

    Attributes:
        wall: Seconds from start to end of the process.
        cpu: Seconds of the processor, user and system.
        memory: The most that it held at once, in MB.
        requests: What the site counted.
        refused: Requests that the site answered with 429.
        asking: Seconds from the first request to the last.
        site_cpu: Seconds of the processor that the site needed.
        records: Records that came out.
        failure: Why the run does not count; empty where it does.
    """

    wall: float
    cpu: float
    memory: float
    requests: int
    refused: int
    asking: float
    site_cpu: float
    records: int
    failure: str = ""


def run_all(workloads: Mapping[str, Workload]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run workloads and yield the results of each, in the form in which they are kept.

    This process must stay small: until a child has started its program, its memory counts as the child's.
    """
    for _, same_site in groupby(workloads.items(), key=lambda item: item[1].sizes):
        members = list(same_site)
        with SiteProcess(members[0][1].sizes) as site:
            for name, workload in members:
                print(f"{name}: {workload.title}", flush=True)
                told = {
                    "today": time.strftime("%Y-%m-%d"),
                    "machine": machine(),
                    "workload": asdict(workload),
                }
                yield name, {**told, "runs": _runs(workload, site)}


def _runs(workload: Workload, site: SiteProcess) -> dict[str, list[dict[str, Any]]]:
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in workload.rounds}
    state = _state_after(workload, site) if workload.again else None
    for number in range(max(workload.rounds.values())):
        for name, rounds in workload.rounds.items():
            if number < rounds:
                run = measure(READERS[name], workload, site, state)
                said = run.failure or f"{run.records:,} records"
                print(f"  {READERS[name].label:<28}{run.wall:7.2f} s, {run.cpu:6.2f} s CPU, ", end="")
                print(f"{run.memory:5.0f} MB, {run.requests} requests, {said}", flush=True)
                runs[name].append(asdict(run))
    return runs


def measure(reader: Reader, workload: Workload, site: SiteProcess, state: Any = None) -> Run:
    """Let a reader read once."""
    with TemporaryDirectory() as directory:
        site.begin(workload.latency, workload.rate)
        began = time.perf_counter()
        status, usage, printed, error = run_process(
            reader.command(_job(workload, site, directory, state)), directory
        )
        wall = time.perf_counter() - began
        traffic = site.end()
        records = _count(printed, workload.command) if reader.airbyte else _last_number(printed)
        failure = ""
        if status:
            failure = f"ended with {status}: {_last_words(error)}"
        elif workload.records is not None and records != workload.records:
            failure = f"{records:,} records instead of {workload.records:,}"
        elif workload.bodies and reader.writes_bodies and workload.records == workload.pages:
            held = sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())
            failure = "" if held > BODY_BYTES * workload.pages else "bodies are missing"
    return Run(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        memory=usage.ru_maxrss / 1024,
        requests=traffic.requests,
        refused=traffic.refused,
        asking=traffic.seconds,
        site_cpu=traffic.cpu,
        records=records,
        failure=failure,
    )


def _job(workload: Workload, site: SiteProcess, directory: str, state: Any) -> Job:
    return Job(
        url=site.url,
        email=site.email,
        token=site.token,
        directory=Path(directory),
        pages=workload.pages,
        bodies=workload.bodies,
        workers=workload.workers,
        command=workload.command,
        streams=workload.streams,
        state=state,
    )


def run_process(command: list[str], directory: str) -> tuple[int, Any, Path, str]:
    """Run a command; return its status, what it used, the file that it printed into, and its complaints."""
    printed, complaints = Path(directory, "printed"), Path(directory, "complaints")
    with printed.open("wb") as out, complaints.open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=directory)  # noqa: S603 - our own commands
        limit = threading.Timer(LONGEST, process.kill)
        limit.start()
        _, status, usage = os.wait4(process.pid, 0)
        limit.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage, printed, complaints.read_text(encoding="utf-8", errors="replace")


def _last_words(error: str) -> str:
    """Return the end of what a program complained of, fit for a table and without passing addresses."""
    return re.sub(r"https?://\S+", "…", " ".join(error.replace("|", " ").split()))[-150:]


def _count(printed: Path, command: str) -> int:
    with printed.open("rb") as lines:
        return sum(COUNTED[command] in line[:200] for line in lines)


def _last_number(printed: Path) -> int:
    lines = printed.read_text(encoding="utf-8").split()
    return int(lines[-1]) if lines and lines[-1].isdigit() else 0


def _state_after(workload: Workload, site: SiteProcess) -> list[dict[str, Any]]:
    """Read a site with the connector, and return the state that it ends with."""
    states: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory() as directory:
        site.begin(0, 0)
        command = READERS[CONNECTOR].command(_job(workload, site, directory, None))
        _, _, printed, _ = run_process(command, directory)
        site.end()
        with printed.open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith('{"type":"STATE"'):
                    state = json.loads(line)["state"]
                    states[state["stream"]["stream_descriptor"]["name"]] = state
    return list(states.values())
