"""Sync Confluence into a DuckDB file, or update the file. You can copy this program; it needs only duckdb.

    python -m tools.load [--full] [--state merged.json] secrets/config.json confluence.duckdb [STREAM ...]

Each stream becomes a table. Incremental records replace rows with the same key; a full refresh replaces the
table. --full reads streams from their beginning, and keeps the rows that it does not find.
--state lets a new database continue from the state that tools/parts.py prints: it gets only what changed since.

The table `_syncs` has the status of each stream's last sync, when it was finished, and the state for the next one. All
streams of a sync have the same time. `full_read` is when the last complete read from the beginning began, and
`full_before` the one before it, with the same settings. They asked for everything since `read_from` in `spaces`.

The column `_airbyte_extracted_at` has the time at which a row was read, as in Airbyte's own tables. It is null if
the last sync failed to read the row again: the row may no longer be true.

A value that does not fit its column becomes text or null, and is reported. It does not affect other records.
Ctrl-C ends a sync: the records that it read are stored, and the next one continues from there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAME = "source-confluence"
# Next to the Python that runs this program, or on the PATH.
CONNECTOR = shutil.which(NAME, path=Path(sys.executable).parent) or shutil.which(NAME) or NAME
INTERRUPTED = "The sync was interrupted. The next one continues from there."
READ_AT = "_airbyte_extracted_at"
# A row of `_syncs` for a stream that other databases have read
NOTHING_READ = {
    "status": "INCOMPLETE",
    "records": 0,
    **dict.fromkeys(("finished", "full_read", "read_from", "spaces")),
}
HALF_A_PAIR = re.compile("[\ud800-\udfff]")  # JSON can contain half a surrogate pair, UTF-8 cannot
# A column at a time: an older version of this program, or the recipes, may have created the table without it.
SYNCS = "CREATE TABLE IF NOT EXISTS _syncs (stream VARCHAR PRIMARY KEY);" + "".join(
    f"ALTER TABLE _syncs ADD COLUMN IF NOT EXISTS {column};"
    for column in (
        *("status VARCHAR", "records BIGINT", "finished TIMESTAMPTZ", "state JSON", "full_read TIMESTAMPTZ"),
        *("full_before TIMESTAMPTZ", "part VARCHAR", "read_from TIMESTAMPTZ", "spaces VARCHAR"),
    )
)
SYNCED = """
    INSERT INTO _syncs (stream, status, records, finished, state, full_read, part, read_from, spaces)
    VALUES ($stream, $status, $records, $finished, $state, $full_read, $part, $read_from, $spaces)
    ON CONFLICT (stream) DO UPDATE SET
        status = excluded.status, records = excluded.records, finished = excluded.finished, state = excluded.state,
        full_before = CASE WHEN excluded.full_read IS NULL THEN full_before
            WHEN read_from = excluded.read_from AND spaces = excluded.spaces THEN full_read END,
        read_from = CASE WHEN excluded.full_read IS NULL THEN read_from ELSE excluded.read_from END,
        spaces = CASE WHEN excluded.full_read IS NULL THEN spaces ELSE excluded.spaces END,
        full_read = coalesce(excluded.full_read, full_read), part = excluded.part
"""


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
        failure: Why it was not read to its end.
        refused: Whether Confluence refuses it: the next sync fails too.
        full: Whether it is read from its beginning.

    """

    schema: dict[str, Any]
    file: IO[str]
    state: dict[str, Any] | None = None
    records: int = 0
    status: str = "INCOMPLETE"
    halves: int = 0
    failure: str = ""
    refused: bool = False
    full: bool = True


Progress = Callable[[dict[str, Stream], str], object]


def run(command: str, *arguments: str | Path, files: Path | None = None) -> Iterator[dict[str, Any]]:
    """Run the connector and yield its messages; files arrive in a directory that exists.

    Ctrl-C reaches only this process, which then ends the connector.

    Raises:
        subprocess.CalledProcessError: The connector failed; its stderr says why.

    """
    ordered = [CONNECTOR, command, *map(str, arguments)]
    environment = {**os.environ, "AIRBYTE_STAGING_DIRECTORY": str(files.resolve())} if files else None
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(  # noqa: S603 - our own script
            ordered, stdout=subprocess.PIPE, stderr=said, env=environment, start_new_session=True
        ) as process,
    ):
        assert process.stdout
        try:
            # A process that is killed leaves half a line.
            yield from (json.loads(line) for line in process.stdout if line.endswith(b"\n"))
        except BaseException:
            process.terminate()
            raise
        if process.wait():
            said.seek(0)
            why = said.read().strip() or f"{NAME} {command} was ended from outside."
            raise subprocess.CalledProcessError(process.returncode, ordered, stderr=why)


def check(config: Path) -> str:
    """Check a configuration, and return the message about streams that cannot be read; empty if there are none.

    Raises:
        SystemExit: The check failed; the message has the reason.

    """
    status: dict[str, str] = {}
    for message in run("check", "--config", config):
        status = message.get("connectionStatus") or status
        if status and status["status"] != "SUCCEEDED":
            sys.exit(status["message"])
    return status.get("message") or ""


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


def sync(  # noqa: PLR0913 - a call names the few that it needs
    config: Path,
    database: Path,
    names: Sequence[str] = (),
    progress: Progress = lambda _read, _said: None,
    files: Path | None = None,
    *,
    full: bool = False,
    merged: Sequence[dict[str, Any]] = (),
) -> dict[str, Stream]:
    """Read what changed since the last sync into a database.

    Args:
        config: The configuration.
        database: The DuckDB file.
        names: The streams to read; all if none is named.
        progress: What to call now and then, with what has been read, and what the connector said about a retry.
        files: The directory in which files arrive; without one, none are downloaded.
        full: Read the streams from their beginning.
        merged: The state from which a new database continues.

    Returns:
        What was read. Records of a stream that failed are in the database too.

    Raises:
        KeyboardInterrupt: Ctrl-C; the records that were read are in the database.

    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        connection = stack.enter_context(duckdb.connect(str(database)))
        catalog, state = directory / "catalog.json", directory / "state.json"
        streams = {}
        for schema in discover(config, catalog, names, files=files is not None):
            file = (directory / f"{schema['name']}.jsonl").open("w", encoding="utf-8")
            streams[schema["name"]] = Stream(schema, stack.enter_context(file))
        settings = json.loads(config.read_bytes())
        began = resume(connection, streams, settings, full=full, merged=merged)
        state.write_text(json.dumps([stream.state for stream in streams.values() if stream.state]))
        arguments = ("--config", config, "--catalog", catalog, "--state", state)
        whole = read_into(streams, arguments, progress, files)
        store(connection, streams, began, settings)
    if not whole:
        raise KeyboardInterrupt
    return streams


def resume(
    connection: duckdb.DuckDBPyConnection,
    streams: dict[str, Stream],
    settings: dict[str, Any],
    *,
    full: bool = False,
    merged: Sequence[dict[str, Any]] = (),
) -> datetime:
    """Continue each stream from the state of its last sync, unless all are read in full, and return the time.

    Raises:
        SystemExit: The database has another part of the site: a stream that is read in full would replace its rows.
            Or it has a state, and another one is given.

    """
    connection.execute(SYNCS)
    part = part_of(settings)
    if merged and connection.execute("FROM _syncs").fetchone():
        sys.exit("The database has a state of its own, from which it continues. Leave out --state.")
    for state in merged:
        row = {
            "stream": state["stream"]["stream_descriptor"]["name"],
            "state": json.dumps(state),
            "part": part,
        }
        connection.execute(SYNCED, {**NOTHING_READ, **row})
    for (held,) in connection.execute("SELECT DISTINCT coalesce(part, '') FROM _syncs").fetchall():
        if held != part:
            parts = f"part {held}" if held else "the whole site", f"part {part}" if part else "the whole site"
            sys.exit(f"The database holds {parts[0]}, not {parts[1]}. Give each part a database of its own.")
    for name, kept in connection.execute("SELECT stream, state FROM _syncs").fetchall():
        if name in streams and not full and kept not in (None, "null"):
            streams[name].state = json.loads(kept)
            streams[name].full = streams[name].schema["supported_sync_modes"] == ["full_refresh"]
    return datetime.now(timezone.utc)


def part_of(settings: dict[str, Any]) -> str:
    """Return the part of the site that is read; empty for the whole site."""
    return str(settings.get("part") or "").replace(" ", "")


def store(
    connection: duckdb.DuckDBPyConnection,
    streams: dict[str, Stream],
    began: datetime,
    settings: dict[str, Any],
) -> None:
    """Update the tables with what a sync has read since it began, and `_syncs`."""
    finished = datetime.now(timezone.utc)
    for name, stream in streams.items():
        stream.file.flush()
        connection.begin()
        complete = stream.status == "COMPLETE"
        load(connection, stream.schema, Path(stream.file.name), whole=complete)
        row = {"stream": name, "status": stream.status, "records": stream.records, "finished": finished}
        read = {"state": json.dumps(stream.state), "full_read": began if complete and stream.full else None}
        connection.execute(SYNCED, {**row, **read, **asked(settings), "part": part_of(settings)})
        connection.commit()
        if stream.halves:
            print(f"{name}: {stream.halves} half surrogate pairs become U+FFFD")


def asked(settings: dict[str, Any]) -> dict[str, str | None]:
    """Return what a read from the beginning asks for: since when, null if that is not known, and of which spaces."""
    read_from: str | None = "-infinity"
    if start := str(settings.get("start_date") or "").strip():
        try:
            found = datetime.fromisoformat(start.replace("Z", "+00:00"))
            read_from = (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).isoformat()
        except ValueError:
            read_from = None
    chosen = ("space_keys", "exclude_space_keys", "exclude_space_kinds")
    spaces = {name: settings[name] for name in chosen if settings.get(name)}
    spaces |= {"part": part} if (part := part_of(settings)) else {}
    return {"read_from": read_from, "spaces": json.dumps(spaces)}


def read_into(
    streams: dict[str, Stream], arguments: Sequence[str | Path], progress: Progress, files: Path | None
) -> bool:
    """Read streams, with the reasons of those that fail; return False after Ctrl-C."""
    ended = ""
    try:
        for message in run("read", *arguments, files=files):
            take(message, streams, progress)
            ended = message.get("trace", {}).get("error", {}).get("message", ended)
    except subprocess.CalledProcessError as failed:
        ended = ended or failed.stderr
    except KeyboardInterrupt:
        return False
    for stream in streams.values():
        if stream.status != "COMPLETE":
            stream.failure = stream.failure or ended
    return True


def take(message: dict[str, Any], streams: dict[str, Stream], progress: Progress) -> None:
    """Store what a message contains: a record, a state, the status of a stream, or why it failed."""
    trace = message.get("trace", {})
    if record := message.get("record"):
        stream = streams[record["stream"]]
        data = {**record["data"], READ_AT: record["emitted_at"]}
        line, halves = HALF_A_PAIR.subn("\ufffd", json.dumps(data, ensure_ascii=False))
        stream.file.write(line + "\n")
        stream.halves += halves
        stream.records += 1
        if stream.records % 500 == 0:
            progress(streams, "")
    elif state := message.get("state"):
        streams[state["stream"]["stream_descriptor"]["name"]].state = state
    elif status := trace.get("stream_status"):
        whole = status["status"] == "COMPLETE"  # and not STARTED, RUNNING or INCOMPLETE
        streams[status["stream_descriptor"]["name"]].status = "COMPLETE" if whole else "INCOMPLETE"
        progress(streams, "")
    elif (error := trace.get("error")) and error.get("stream_descriptor"):
        stream = streams[error["stream_descriptor"]["name"]]
        stream.failure, stream.refused = error["message"], error["failure_type"] == "config_error"
    elif "Retrying" in (said := message.get("log", {}).get("message", "")):
        progress(streams, said)


def failures(streams: dict[str, Stream]) -> list[str]:
    """Return a line for each reason for which streams were not read to their end, with their names."""
    names: dict[str, list[str]] = {}
    for name, stream in streams.items():
        if stream.status != "COMPLETE":
            names.setdefault(stream.failure, []).append(name)
    return [f"{', '.join(found)}: {reason}" for reason, found in names.items()]


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
    known = [column for column, *_ in connection.execute(f'FROM "{name}" LIMIT 0').description]
    for field in (field for field in types if field not in known):
        connection.execute(f'ALTER TABLE "{name}" ADD COLUMN "{field}" {types[field]}')
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


def merged_state(path: str) -> list[dict[str, Any]]:
    """Return the state in a file of tools/parts.py.

    Raises:
        argparse.ArgumentTypeError: The file has none.

    """
    try:
        states: list[dict[str, Any]] = json.loads(Path(path).read_bytes())
        names = [state["stream"]["stream_descriptor"]["name"] for state in states]
    except (OSError, ValueError, LookupError, TypeError):
        names = []
    if not names:
        raise argparse.ArgumentTypeError(f"{path} has no state. Give the file that tools/parts.py prints.")
    return states


@contextmanager
def sentences(database: Path) -> Iterator[None]:
    """End with a sentence where the connector fails or is missing, or a file cannot be used."""
    try:
        yield
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.stderr)
    except duckdb.Error as failed:
        sys.exit(f"{database} cannot be used: {failed}")
    except OSError as failed:
        if failed.filename == CONNECTOR:
            sys.exit(f"There is no program {CONNECTOR}: install {NAME}-cloud for this Python.")
        file = failed.filename or f"The output, or a file in {tempfile.gettempdir()},"
        sys.exit(f"{file} cannot be used: {failed.strerror}.")


def main() -> None:
    """Read the command line and sync."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="read the streams from their beginning")
    parser.add_argument(
        "--state", type=merged_state, default=(), help="the state with which a new database begins"
    )
    parser.add_argument("config", type=Path, help="the configuration, as README.md describes it")
    parser.add_argument("database", type=Path, help="the DuckDB file; created if it does not exist")
    parser.add_argument("streams", nargs="*", metavar="STREAM", help="streams to read; all if none is named")
    args = parser.parse_args()
    try:
        with sentences(args.database):
            check(args.config)
            read = sync(args.config, args.database, args.streams, full=args.full, merged=args.state)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    count = sum(stream.records for stream in read.values())
    print(f"{count} record{'s' * (count != 1)} of {len(read)} stream{'s' * (len(read) != 1)}")
    if failed_streams := failures(read):
        sys.exit("\n".join(["Not complete:", *failed_streams]))


if __name__ == "__main__":
    main()
