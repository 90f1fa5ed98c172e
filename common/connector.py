"""Run the connector as users do, and parse its output."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections import defaultdict
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from common.files import options
from common.streams import streams
from source_confluence.run import run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fake_confluence import Server

LOGGER = logging.getLogger("airbyte")
ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
STREAMS = {stream.name: stream for stream in streams()}
CONNECTOR = Path(sys.executable).with_name("source-confluence")
# No error message contains any of these.
VAGUE = (
    "Traceback",
    "Something went wrong",
    "unexpected error",
    "Error(",
    "Error:",
    "object has no attribute",
)


@dataclass
class Output:
    """The output of one command.

    Attributes:
        messages: All Airbyte messages on stdout, in order.
        other: Lines on stdout that are not messages: there must never be any.
        stderr: The text on stderr.
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
        """The messages of all error traces."""
        traces = [m["trace"] for m in self.messages if m["type"] == "TRACE"]
        return [trace["error"]["message"] for trace in traces if trace["type"] == "ERROR"]

    @property
    def state(self) -> list[dict[str, Any]]:
        """The last state of each stream, in the form of the input of the next read."""
        states = [m["state"] for m in self.messages if m["type"] == "STATE"]
        return list({state["stream"]["stream_descriptor"]["name"]: state for state in states}.values())

    @property
    def statuses(self) -> dict[str, str]:
        """The last status of each stream."""
        found = {}
        for message in self.messages:
            if message["type"] == "TRACE" and message["trace"]["type"] == "STREAM_STATUS":
                status = message["trace"]["stream_status"]
                found[status["stream_descriptor"]["name"]] = status["status"]
        return found

    @property
    def connection(self) -> dict[str, Any]:
        """The result of `check`."""
        return next(m["connectionStatus"] for m in self.messages if m["type"] == "CONNECTION_STATUS")


def connector(  # noqa: PLR0913 - a call names the few that it needs
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
        select: The streams to read; they make the catalog.
        catalog: A whole catalog instead of `select`.
        state: `Output.state` of an earlier read.
        incremental: Read the streams with a cursor incrementally.

    """
    with TemporaryDirectory() as directory:
        if command == "read" and catalog is None:
            catalog = {"streams": [configured(name, incremental=incremental) for name in select]}
        files = {"config": config, "catalog": catalog, "state": state}
        return run_args([command, *options(Path(directory), **files)])


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
    """Parse the output of a command."""
    output = Output(stderr=stderr, exit_code=exit_code)
    for line in filter(str.strip, stdout.split("\n")):  # splitlines would also split at U+0085
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


def discovered(name: str) -> dict[str, Any]:
    """Return a stream as `discover` describes it."""
    stream = STREAMS[name]
    return {
        **configured(name)["stream"],
        "json_schema": stream.schema,
        "source_defined_primary_key": [[field] for field in stream.key],
    }
