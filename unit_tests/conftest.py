"""What the tests share: an embedded site, and the connector run as its users run it."""

from __future__ import annotations

import io
import json
import logging
import pickle
from collections import defaultdict
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from airbyte_cdk.sources.declarative import concurrent_declarative_source, yaml_declarative_source
from airbyte_cdk.sources.utils import files_directory
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from fake_confluence import Server, company
from source_confluence.run import run
from tools.load import load
from tools.recipes import create_views
from tools.streams import streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LOGGER = logging.getLogger("airbyte")
ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
STREAMS = {stream.name: stream for stream in streams()}


@dataclass
class Output:
    """What one command printed.

    Attributes:
        messages: All Airbyte messages on stdout, in order.
        other: Lines on stdout that are none: there must never be any.
        stderr: What a person saw besides.
        exit_code: 0 for success.
        records: Record data by stream, in order.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    stderr: str = ""
    exit_code: int = 0
    records: defaultdict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def errors(self) -> list[str]:
        """The sentences of all error traces."""
        traces = [m["trace"] for m in self.messages if m["type"] == "TRACE"]
        return [trace["error"]["message"] for trace in traces if trace["type"] == "ERROR"]

    @property
    def state(self) -> list[dict[str, Any]]:
        """The last state of each stream, as the next read takes it."""
        states = [m["state"] for m in self.messages if m["type"] == "STATE"]
        return list({state["stream"]["stream_descriptor"]["name"]: state for state in states}.values())

    @property
    def statuses(self) -> dict[str, str]:
        """How each stream ended."""
        found = {}
        for message in self.messages:
            if message["type"] == "TRACE" and message["trace"]["type"] == "STREAM_STATUS":
                status = message["trace"]["stream_status"]
                found[status["stream_descriptor"]["name"]] = status["status"]
        return found

    @property
    def connection(self) -> dict[str, Any]:
        """What `check` answered."""
        return next(m["connectionStatus"] for m in self.messages if m["type"] == "CONNECTION_STATUS")


def connector(
    command: str,
    config: Any = None,
    *,
    select: Iterable[str] = (),
    catalog: Any = None,
    state: Any = None,
    incremental: bool = False,
) -> Output:
    """Run the connector in this process through its console entrypoint.

    Args:
        command: spec, check, discover or read.
        config: The configuration.
        select: The streams to read; the catalog is made from them.
        catalog: A whole catalog instead.
        state: What `Output.state` of an earlier read gave.
        incremental: Read incrementally what can be read so.
    """
    with TemporaryDirectory() as directory:
        args = [command]
        if command == "read" and catalog is None:
            catalog = {"streams": [configured(name, incremental=incremental) for name in select]}
        for name, value in (("config", config), ("catalog", catalog), ("state", state)):
            if value is not None:
                path = Path(directory) / f"{name}.json"
                path.write_text(json.dumps(value), encoding="utf-8")
                args += [f"--{name}", str(path)]
        return run_args(args)


def run_args(args: list[str]) -> Output:
    """Run the connector in this process with a command line."""
    out, err, exit_code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            run(args)
        except SystemExit as stop:
            exit_code = int(stop.code or 0)
    return output_of(out.getvalue(), err.getvalue(), exit_code)


def output_of(stdout: str, stderr: str, exit_code: int) -> Output:
    """Take apart what a command printed."""
    output = Output(stderr=stderr, exit_code=exit_code)
    for line in filter(str.strip, stdout.splitlines()):
        try:
            message = json.loads(line)
        except ValueError:
            output.other.append(line)
            continue
        output.messages.append(message)
        if message["type"] == "RECORD":
            output.records[message["record"]["stream"]].append(message["record"]["data"])
    return output


def configured(name: str, *, incremental: bool = False) -> dict[str, Any]:
    """Return one stream of a configured catalog."""
    cursor = STREAMS[name].cursor if name in STREAMS else None
    modes = ["full_refresh", "incremental"] if cursor else ["full_refresh"]
    return {
        "stream": {"name": name, "json_schema": {}, "supported_sync_modes": modes},
        "sync_mode": modes[-1] if incremental else "full_refresh",
        "destination_sync_mode": "append",
    }


def config_for(server: Server, **more: Any) -> dict[str, Any]:
    """Return a configuration that reads an embedded site."""
    return {"email": server.email, "api_token": server.token, "domain_name": server.url, **more}


def key_of(stream: str, record: dict[str, Any]) -> tuple[Any, ...]:
    """Return the values of a record's primary key."""
    return tuple(record[name] for name in STREAMS[stream].key)


def database(directory: Path, records: Mapping[str, list[dict[str, Any]]]) -> Path:
    """Load records, by stream, into the demo's kind of database."""
    file, lines = directory / "confluence.duckdb", directory / "lines.jsonl"
    with duckdb.connect(str(file)) as connection:
        for name, data in records.items():
            lines.write_text("".join(json.dumps(record) + "\n" for record in data), encoding="utf-8")
            load(connection, discovered(name), lines, whole=True)
        create_views(connection)
    return file


def discovered(name: str) -> dict[str, Any]:
    """Return a stream as `discover` describes it."""
    stream = STREAMS[name]
    return {
        **configured(name)["stream"],
        "json_schema": stream.schema,
        "source_defined_primary_key": [[field] for field in stream.key],
    }


@pytest.fixture(autouse=True, scope="session")
def parsed_once() -> Iterator[None]:
    """Parse each YAML text once a process: otherwise that is most of the time of a small read."""
    parse = safe_load_yaml
    copies = cache(lambda text: pickle.dumps(parse(text)))

    def load_copy(stream: Any) -> Any:
        return pickle.loads(copies(stream if isinstance(stream, (str, bytes)) else stream.read()))  # noqa: S301 - our own

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_declarative_source, "safe_load_yaml", load_copy)
        patch.setattr(concurrent_declarative_source, "safe_load_yaml", load_copy)
        yield


@pytest.fixture(autouse=True, scope="session")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let files arrive in a directory of the tests, also from the connector as a process."""
    directory = str(tmp_path_factory.mktemp("files"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRBYTE_STAGING_DIRECTORY", directory)
        patch.setattr(files_directory, "AIRBYTE_STAGING_DIRECTORY", directory)
        yield


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve the company, fresh for each test."""
    with Server(company()) as running:
        yield running
