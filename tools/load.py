"""Sync Confluence into a DuckDB file, or update the file. You can copy this program; it needs only duckdb.

    python -m tools.load secrets/config.json confluence.duckdb [STREAM ...]

Each stream becomes a table. Incremental records replace rows with the same key; a full refresh replaces the
table. The table `_syncs` has the status of each stream's last sync, and the state for the next one.

The column `_airbyte_extracted_at` has the time at which a row was read, as in Airbyte's own tables. It is null if
the last sync failed to read the row again: the row may no longer be true.

A value that does not fit its column becomes text or null, and is reported. It does not affect other records.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CONNECTOR = str(Path(sys.executable).with_name("source-confluence"))
READ_AT = "_airbyte_extracted_at"
HALF_A_PAIR = re.compile("[\ud800-\udfff]")  # JSON can contain half a surrogate pair, UTF-8 cannot
SYNCS = """CREATE TABLE IF NOT EXISTS _syncs (
    stream VARCHAR PRIMARY KEY, status VARCHAR, records BIGINT, finished TIMESTAMPTZ, state JSON)"""


@dataclass
class Stream:
    """What one sync has read of a stream.

    Attributes:
        schema: The stream as the connector describes it.
        file: Its records, one a line.
        state: Where the next sync begins.
        records: How many there are.
        status: COMPLETE when it was read to its end.
        halves: How many halves of surrogate pairs were replaced.

    """

    schema: dict[str, Any]
    file: IO[str]
    state: dict[str, Any] | None = None
    records: int = 0
    status: str = "INCOMPLETE"
    halves: int = 0


def run(command: str, *arguments: str | Path, files: Path | None = None) -> Iterator[dict[str, Any]]:
    """Run the connector and yield its messages; files arrive in a directory that exists.

    Raises:
        subprocess.CalledProcessError: The connector failed; stderr has the reason.

    """
    ordered = [CONNECTOR, command, *map(str, arguments)]
    environment = {**os.environ, "AIRBYTE_STAGING_DIRECTORY": str(files.resolve())} if files else None
    with subprocess.Popen(ordered, stdout=subprocess.PIPE, env=environment) as process:  # noqa: S603 - our own script
        assert process.stdout
        yield from map(json.loads, process.stdout)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, ordered)


def check(config: Path) -> None:
    """Check a configuration.

    Raises:
        SystemExit: The check failed; the message has the reason.

    """
    for message in run("check", "--config", config):
        status = message.get("connectionStatus")
        if status and status["status"] != "SUCCEEDED":
            sys.exit(status["message"])


def discover(
    config: Path, catalog: Path, names: Sequence[str] = (), *, files: bool = False
) -> list[dict[str, Any]]:
    """Write a catalog that reads streams, all if none is named, and return them.

    Each is read incrementally where possible, and with its files if `files` is set.
    """
    found = next(m["catalog"]["streams"] for m in run("discover", "--config", config) if "catalog" in m)
    known = [stream["name"] for stream in found]
    if unknown := set(names) - set(known):
        sys.exit(f"There is no stream {', '.join(sorted(unknown))}. The streams are {', '.join(known)}.")
    streams = [stream for stream in found if stream["name"] in (names or known)]
    append = {"destination_sync_mode": "append", "include_files": files}
    configured = [
        {"stream": stream, "sync_mode": stream["supported_sync_modes"][-1], **append} for stream in streams
    ]
    catalog.write_text(json.dumps({"streams": configured}), encoding="utf-8")
    return streams


def sync(
    config: Path,
    database: Path,
    names: Sequence[str] = (),
    progress: Callable[[dict[str, Stream]], object] = len,
    files: Path | None = None,
) -> dict[str, Stream]:
    """Read what changed since the last sync into a database.

    Args:
        config: The configuration.
        database: The DuckDB file.
        names: The streams to read; all if none is named.
        progress: What to call now and then, with what has been read.
        files: The directory in which files arrive; without one, none are downloaded.

    Returns:
        What was read. Records of a stream that failed are in the database too.

    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        connection = stack.enter_context(duckdb.connect(str(database)))
        connection.execute(SYNCS)
        catalog, state = directory / "catalog.json", directory / "state.json"
        streams = {}
        for schema in discover(config, catalog, names, files=files is not None):
            file = (directory / f"{schema['name']}.jsonl").open("w", encoding="utf-8")
            streams[schema["name"]] = Stream(schema, stack.enter_context(file))
        for name, kept in connection.execute("SELECT stream, state FROM _syncs").fetchall():
            if name in streams and kept:
                streams[name].state = json.loads(kept)
        state.write_text(json.dumps([stream.state for stream in streams.values() if stream.state]))
        try:
            arguments = ("--config", config, "--catalog", catalog, "--state", state)
            for message in run("read", *arguments, files=files):
                take(message, streams, progress)
        except (subprocess.CalledProcessError, KeyboardInterrupt):
            print("\nThe sync was interrupted. The next one continues from there.", file=sys.stderr)
        progress(streams)
        for name, stream in streams.items():
            stream.file.flush()
            connection.begin()
            load(connection, stream.schema, Path(stream.file.name), whole=stream.status == "COMPLETE")
            connection.execute(
                "INSERT OR REPLACE INTO _syncs VALUES (?, ?, ?, now(), ?)",
                [name, stream.status, stream.records, json.dumps(stream.state)],
            )
            connection.commit()
            if stream.halves:
                print(f"{name}: {stream.halves} half surrogate pairs become U+FFFD")
    return streams


def take(
    message: dict[str, Any], streams: dict[str, Stream], progress: Callable[[dict[str, Stream]], object]
) -> None:
    """Store what a message contains: a record, a state, or the status of a stream."""
    if record := message.get("record"):
        stream = streams[record["stream"]]
        data = {**record["data"], READ_AT: record["emitted_at"]}
        line, halves = HALF_A_PAIR.subn("\ufffd", json.dumps(data, ensure_ascii=False))
        stream.file.write(line + "\n")
        stream.halves += halves
        stream.records += 1
        if sum(stream.records for stream in streams.values()) % 500 == 0:
            progress(streams)
    elif state := message.get("state"):
        streams[state["stream"]["stream_descriptor"]["name"]].state = state
    elif status := message.get("trace", {}).get("stream_status"):
        whole = status["status"] == "COMPLETE"  # and not STARTED, RUNNING or INCOMPLETE
        streams[status["stream_descriptor"]["name"]].status = "COMPLETE" if whole else "INCOMPLETE"


def load(connection: duckdb.DuckDBPyConnection, stream: dict[str, Any], lines: Path, *, whole: bool) -> None:
    """Update a table with records in JSON lines: the last one of each key.

    Args:
        connection: The database.
        stream: The stream as the connector describes it.
        lines: Its records.
        whole: Whether the records are complete, for a stream that is always read in full.

    """
    name, fields = stream["name"], stream["json_schema"]["properties"]
    types = {field: column_type(schema) for field, schema in fields.items()}
    values = {
        field: f'"{field}"' if kind == "JSON" else f"TRY_CAST(\"{field}\" ->> '$' AS {kind})"
        for field, kind in types.items()
    }
    types[READ_AT] = "TIMESTAMPTZ"
    values[READ_AT] = f"coalesce(to_timestamp(TRY_CAST(\"{READ_AT}\" ->> '$' AS BIGINT) / 1000), now())"
    key = ", ".join(f'"{field}"' for (field,) in stream["source_defined_primary_key"])
    columns = ", ".join(f'"{field}" {kind}' for field, kind in types.items())
    connection.execute(f'CREATE TABLE IF NOT EXISTS "{name}" ({columns})')
    for field, kind in types.items():
        connection.execute(f'ALTER TABLE "{name}" ADD COLUMN IF NOT EXISTS "{field}" {kind}')
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE came AS SELECT *, row_number() OVER () AS _line FROM read_json($lines, "  # noqa: S608 - names from our schemas
        f"columns = {dict.fromkeys(types, 'JSON')}, format = 'newline_delimited', "
        "maximum_object_size = 100000000)",
        {"lines": str(lines)},
    )
    tell_what_is_lost(connection, name, types, values)
    selected = ", ".join(f'{value} AS "{field}"' for field, value in values.items())
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE newest AS SELECT DISTINCT ON ({key}) {selected} "  # noqa: S608 - as above
        "FROM came ORDER BY _line DESC"
    )
    replaced = f"WHERE ({key}) IN (SELECT ({key}) FROM newest)"  # noqa: S608 - as above
    if stream["supported_sync_modes"] == ["full_refresh"]:
        if whole:
            replaced = ""
        else:
            connection.execute(f'UPDATE "{name}" SET "{READ_AT}" = NULL')  # noqa: S608 - as above
    connection.execute(f'DELETE FROM "{name}" {replaced}')  # noqa: S608 - as above
    connection.execute(f'INSERT INTO "{name}" BY NAME FROM newest')


def tell_what_is_lost(
    connection: duckdb.DuckDBPyConnection, name: str, types: dict[str, str], values: dict[str, str]
) -> None:
    """Report the values that do not fit their columns."""
    lost = ", ".join(
        f"any_value(\"{field}\" ->> '$') FILTER (WHERE {value} IS NULL AND (\"{field}\" ->> '$') IS NOT NULL)"
        for field, value in values.items()
    )
    (examples,) = connection.execute(f"SELECT {lost} FROM came").fetchall()  # noqa: S608 - names from our schemas
    for (field, kind), example in zip(types.items(), examples, strict=True):
        if example is not None:
            print(f"{name}.{field}: values that are not {kind} become null, such as {example[:60]!r}")


def column_type(schema: dict[str, Any]) -> str:
    """Return the DuckDB type for a property's schema; a property for values of several types is JSON."""
    kinds = {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"]) - {"null"}
    if kinds == {"string"}:
        return "TIMESTAMPTZ" if schema.get("format") == "date-time" else "VARCHAR"
    scalars = {"integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}
    return scalars.get(kinds.pop(), "JSON") if len(kinds) == 1 else "JSON"


if __name__ == "__main__":
    check(Path(sys.argv[1]))
    read = sync(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    sys.exit(any(stream.status != "COMPLETE" for stream in read.values()))
