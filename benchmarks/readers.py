"""The measured programs, and the commands with which they read."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from common.files import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.workloads import Workload

PEERS = Path(__file__).resolve().with_name("peers")
DLT_PYTHON = PEERS.parent.parent / "build" / "peers" / "dlt" / "bin" / "python"
WORKERS = 10  # the connector's default


class Job(NamedTuple):
    """One read: the workload, the site, a directory for files, and the state to start from."""

    workload: Workload
    access: dict[str, str]  # the connector's configuration for the site
    directory: Path
    state: Any = None


@dataclass(frozen=True)
class Reader:
    """A program that reads pages: its name in tables, its settings, and its command for a job."""

    label: str
    about: str
    command: Callable[[Job], list[str]]
    airbyte: bool = False  # prints Airbyte messages; otherwise the last line is the number of records
    writes_bodies: bool = True


def _airbyte(script: str, *more: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        workload = job.workload
        executable = [str(Path(sys.executable).with_name(script)), workload.command, *more]
        if workload.command == "spec":
            return executable
        body_format = "storage" if workload.bodies else "none"
        modes = ["full_refresh", "incremental"]
        catalog = [
            {
                "stream": {"name": name, "json_schema": {}, "supported_sync_modes": modes},
                "sync_mode": "incremental",
                "destination_sync_mode": "append",
            }
            for name in workload.streams
        ]
        config = {**job.access, "body_format": body_format, **workload.settings}
        return [
            *executable,
            *options(job.directory, config=config, catalog={"streams": catalog}, state=job.state),
        ]

    return command


def _script(name: str, python: Path, **more: Any) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        given = {**job.access, "directory": str(job.directory), "workers": WORKERS, **more}
        given["bodies"] = job.workload.bodies
        return [str(python), str(PEERS / name), json.dumps(given)]

    return command


CONNECTOR, UPSTREAM, IMPORT = "connector", "upstream", "import"
DLT, DLT_SPACES, BARE, PLAIN = "dlt", "dlt_spaces", "bare", "plain"
READERS = {
    CONNECTOR: Reader(
        "this connector", "nothing configured but the site", _airbyte("source-confluence"), airbyte=True
    ),
    DLT: Reader(
        "dlt, one list",
        "the `rest_api` source, extract only: pages of 250; selector, paginator and sign-in configured, not "
        "detected; files not compressed; no telemetry",
        _script("dlt_rest_api.py", DLT_PYTHON, each_space=False),
    ),
    DLT_SPACES: Reader(
        "dlt, a list for each space",
        f"the same with a `parallelized` resource that requests the pages of each space, {WORKERS} workers",
        _script("dlt_rest_api.py", DLT_PYTHON, each_space=True),
    ),
    BARE: Reader(
        "bare loop",
        "requests and orjson, pages of 250, every record written to a file: the minimum for sequential requests",
        _script("bare_loop.py", Path(sys.executable)),
    ),
    PLAIN: Reader(
        "smallest manifest",
        "one list, pages of 250, on the CDK alone: no component of ours",
        _airbyte("source-declarative-manifest", "--manifest-path", str(PEERS / "plain.yaml")),
        airbyte=True,
    ),
    UPSTREAM: Reader(
        "Airbyte's published connector",
        "its requests, in our manifest on the same CDK: pages of 25, no bodies",
        _airbyte("source-declarative-manifest", "--manifest-path", str(PEERS / "upstream.yaml")),
        airbyte=True,
        writes_bodies=False,
    ),
    IMPORT: Reader(
        "import of the CDK",
        "`import airbyte_cdk.entrypoint` and nothing else",
        lambda _: [sys.executable, "-c", "import airbyte_cdk.entrypoint; print(1)"],
        writes_bodies=False,
    ),
}
