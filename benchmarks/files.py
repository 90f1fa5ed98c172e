"""Measure whether memory stays constant while files are downloaded: one of 300 MB, and four of 100 MB in parallel.

    python -m benchmarks files

The base is the same read with files of one kilobyte. Memory is the peak of the connector's process (VmHWM), which
needs Linux. Other programs on the machine change the times, but not the memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from common.connector import CONNECTOR
from fake_confluence import Server, company

MB = 1_000_000
GOAL = 30 * MB
SIZES = {"1 of 300 MB": [300 * MB], "4 of 100 MB at once": [100 * MB] * 4}


def main() -> None:
    """Measure; exit with an error if a goal is missed."""
    print("| Files | Base | Peak memory | Above the base | Wall |\n|:--|--:|--:|--:|--:|")
    missed = False
    for title, sizes in SIZES.items():
        base, _ = measure([1000] * len(sizes))
        peak, wall = measure(sizes)
        missed |= peak - base > GOAL
        cells = (f"{n / MB:.0f} MB" for n in (base, peak, peak - base))
        print(f"| {title} | {' | '.join(cells)} | {wall:.1f} s |")
    sys.exit(missed)


def measure(sizes: list[int]) -> tuple[int, float]:
    """Download files of these sizes; return the peak memory in bytes, and the seconds."""
    with Server(company()) as server, TemporaryDirectory() as name:
        directory, site = Path(name), server.site
        attachments = [each for each in site.records("attachments") if each["status"] == "current"]
        for attachment, size in zip(attachments, sizes, strict=False):
            attachment["fileSize"] = size
        for attachment in [
            each for each in site.records("attachments") if each not in attachments[: len(sizes)]
        ]:
            site.remove("attachments", attachment["id"])
        config = {
            "email": server.email,
            "api_token": server.token,
            "domain_name": server.url,
            "max_file_mb": 1500,
        }
        stream = {"name": "attachment_files", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
        chosen = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
        arguments = []
        for option, content in (("config", config), ("catalog", {"streams": [chosen]})):
            path = directory / f"{option}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            arguments += [f"--{option}", str(path)]
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - our own script
            [CONNECTOR, "read", *arguments],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "AIRBYTE_STAGING_DIRECTORY": str(directory)},
        )
        most = peak(process)
        wall = time.monotonic() - began
        arrived = sorted(path.stat().st_size for path in directory.glob("attachment_files/*/*"))
        if process.returncode or arrived != sorted(sizes):
            sys.exit(f"The read ended with {process.returncode}; files of {arrived} bytes arrived.")
        return most, wall


def peak(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; return its peak memory in bytes, except for its last hundredth of a second."""
    most = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        most = max([most, *(int(kilobytes) * 1024 for kilobytes in found)])
        time.sleep(0.01)
    return most
