"""Who is measured, and the command that makes each read."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).with_name("peers")
ENVIRONMENTS = ROOT / "build" / "peers"
EVERY_STREAM = ROOT / "integration_tests" / "configured_catalog.json"
# As many as the connector has where nothing is configured.
WORKERS = 10


@dataclass(frozen=True)
class Job:
    """One read: where the site is, what of it is wanted (no streams: all), and a directory for what comes."""

    url: str
    email: str
    token: str
    directory: Path
    pages: int = 0
    bodies: bool = True
    workers: int = 0
    command: str = "read"
    streams: tuple[str, ...] = ("pages",)
    state: Any = None


@dataclass(frozen=True)
class Reader:
    """A program that reads pages.

    Attributes:
        label: Its name in tables.
        about: What was set, for the documentation.
        command: What makes it do a job.
        airbyte: Whether it prints Airbyte messages; if not, the number of pages is its last line.
        writes_bodies: Whether what it leaves behind must be as large as the bodies.
    """

    label: str
    about: str
    command: Callable[[Job], list[str]]
    airbyte: bool = False
    writes_bodies: bool = True


def airbyte_files(
    directory: Path, config: dict[str, Any], streams: Iterable[str], state: Any = None
) -> list[str]:
    """Write the files that a read of the Airbyte protocol needs, and return the arguments that name them."""
    modes = ["full_refresh", "incremental"]
    catalog = [
        {
            "stream": {"name": name, "json_schema": {}, "supported_sync_modes": modes},
            "sync_mode": "incremental",
            "destination_sync_mode": "append",
        }
        for name in streams
    ]
    arguments = []
    for name, content in (("config", config), ("catalog", {"streams": catalog}), ("state", state)):
        if content is not None:
            path = directory / f"{name}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            arguments += [f"--{name}", str(path)]
    return arguments


def _airbyte(script: str, *more: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        config: dict[str, Any] = {"email": job.email, "api_token": job.token, "domain_name": job.url}
        if not job.bodies:
            config["body_format"] = "none"
        if job.workers:
            config["num_workers"] = job.workers
        files = airbyte_files(job.directory, config, job.streams, job.state)
        if not job.streams:
            files = [*files[:2], "--catalog", str(EVERY_STREAM)]
        arguments = {"spec": [], "check": files[:2], "read": files}[job.command]
        return [str(Path(sys.executable).with_name(script)), job.command, *arguments, *more]

    return command


def _script(name: str, python: Path, **more: Any) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        told = {name: getattr(job, name) for name in ("url", "email", "token", "pages", "bodies")}
        told |= {"directory": str(job.directory), "workers": WORKERS, **more}
        return [str(python), str(PEERS / name), json.dumps(told)]

    return command


def _python(environment: str) -> Path:
    return ENVIRONMENTS / environment / "bin" / "python"


CONNECTOR, UPSTREAM = "connector", "upstream"
DLT, DLT_SPACES, LLAMAINDEX, BARE = "dlt", "dlt_spaces", "llamaindex", "bare"
READERS = {
    CONNECTOR: Reader(
        "this connector",
        "as it is, nothing configured but the site",
        _airbyte("source-confluence"),
        airbyte=True,
    ),
    DLT: Reader(
        "dlt, one list",
        "the `rest_api` source, extract only: pages of 250; selector, paginator and sign-in given, not "
        "detected; files not compressed; no telemetry",
        _script("dlt_rest_api.py", _python("dlt"), each_space=False),
    ),
    DLT_SPACES: Reader(
        "dlt, a list for each space",
        f"the same with a `parallelized` resource that asks for the pages of each space, {WORKERS} workers",
        _script("dlt_rest_api.py", _python("dlt"), each_space=True),
    ),
    BARE: Reader(
        "bare loop",
        "requests and orjson, pages of 250, every record written to a file: the floor for one chain",
        _script("bare_loop.py", Path(sys.executable)),
    ),
    LLAMAINDEX: Reader(
        "LlamaIndex's reader",
        "one CQL query for the whole site, 50 pages a request, the most that v1 gives with bodies",
        _script("llamaindex_reader.py", _python("llamaindex")),
        writes_bodies=False,
    ),
    UPSTREAM: Reader(
        "Airbyte's connector so far",
        "its way to ask, in a manifest of ours on the same CDK: pages of 25, no bodies",
        _airbyte("source-declarative-manifest", "--manifest-path", str(PEERS / "upstream.yaml")),
        airbyte=True,
        writes_bodies=False,
    ),
}
