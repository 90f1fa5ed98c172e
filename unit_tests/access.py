"""Records of spaces, pages, people and restrictions, and the recipes about access on them, in both databases."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import duckdb

from common.connector import STREAMS, discovered
from tools.load import READ_AT, column_type, load
from tools.recipes import create_views, recipes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from unit_tests.postgres import Postgres

    Records = Mapping[str, list[dict[str, Any]]]
    Ask = Callable[[str], list[tuple[Any, ...]]]

NOW = datetime(2026, 6, 30, 12, tzinfo=timezone.utc)
RECIPES = {recipe.name: recipe for recipe in recipes()}
USED = ("page_tree", "space_readers", "reader_lists", "unknown_readers", "who_can_see", "text_for_ai")
TYPES = {"VARCHAR": "varchar", "TIMESTAMP WITH TIME ZONE": "timestamp", "DOUBLE": "float8"}


def page_of(number: int, parent: int | None = None, **more: Any) -> dict[str, Any]:
    known = {"id": str(number), "title": f"Page {number}", "spaceId": "1", "status": "current"}
    known["updatedAt"] = "2026-01-01T00:00:00Z"
    return {**known, "parentId": None if parent is None else str(parent), **more}


def user(name: str, **more: Any) -> dict[str, Any]:
    known = {"accountId": name, "displayName": name.title(), "isGuest": False}
    return {**known, "accountType": "atlassian", "accountStatus": "active", **more}


def may_read(space: str, kind: str, principal: str) -> dict[str, Any]:
    return {
        "id": f"{space}{principal}",
        "spaceId": space,
        "principal": {"type": kind, "id": principal},
        "operation": {"key": "read", "targetType": "space"},
    }


def assigned(space: str, role: str, kind: str, principal: str) -> dict[str, Any]:
    return {"spaceId": space, "roleId": role, "principalType": kind, "principalId": principal}


def readers(
    number: int, users: str = "", groups: str = "", start: int = 0, of: str = "page", **more: Any
) -> dict[str, Any]:
    """Return a list of readers, or a part of it; without names, it is that of unrestricted content."""
    results = {
        "user": {"results": [{"accountId": name} for name in users.split()]},
        "group": {"results": [{"id": name} for name in groups.split()]},
    }
    known = {f"{of}Id": str(number), "operation": "read", "start": start, "restrictions": results}
    return {**known, **more}


def unrestricted(*numbers: int, of: str = "page") -> list[dict[str, Any]]:
    return [
        readers(number, of=of, operation=operation) for number in numbers for operation in ("read", "update")
    ]


def ago(**span: float) -> int:
    """Return a time before the other rows were read, as the time of a record."""
    return round((NOW - timedelta(**span)).timestamp() * 1000)


def found(number: int, users: str = "", groups: str = "", **more: Any) -> dict[str, Any]:
    """Return a record of `content_restrictions`."""
    lists = {"readAccountIds": users.split(), "readGroupIds": groups.split(), "readIsComplete": True}
    return {"id": str(number), "spaceId": "1", **lists, **more}


def loaded(
    file: Path, first: Records, failed: Records, again: Records, spaces: str
) -> duckdb.DuckDBPyConnection:
    """Load two syncs into a DuckDB database, which can exist: what the first sync lacks then stays.

    Args:
        file: The database.
        first: The records of the first sync, which is complete.
        failed: The records of streams that fail in the second sync, an hour later.
        again: The records of streams that are complete in the second sync.
        spaces: The choice of spaces; `{}` for all.

    """
    connection = duckdb.connect(str(file))
    connection.execute(
        "CREATE TABLE IF NOT EXISTS _syncs "
        "(stream VARCHAR PRIMARY KEY, status VARCHAR, finished TIMESTAMPTZ, spaces VARCHAR)"
    )
    connection.execute("UPDATE _syncs SET spaces = ?", [spaces])
    for name in first:
        connection.execute(f'DROP TABLE IF EXISTS "{name}"')
    for status, records, late in (("COMPLETE", first, 0), ("INCOMPLETE", failed, 1), ("COMPLETE", again, 1)):
        for name, data in records.items():
            lines = file.with_name("lines.jsonl")
            dated = ({READ_AT: ago(hours=-late), **record} for record in data)
            lines.write_text("".join(json.dumps(record) + "\n" for record in dated), encoding="utf-8")
            load(connection, discovered(name), lines, whole=status == "COMPLETE")
            row = [name, status, NOW + timedelta(hours=late), spaces]
            connection.execute("INSERT OR REPLACE INTO _syncs VALUES (?, ?, ?, ?)", row)
    return connection


def in_duckdb(connection: duckdb.DuckDBPyConnection) -> Ask:
    """Return a function that queries the recipes."""
    create_views(connection)
    return lambda query: connection.execute(query).fetchall()


def in_postgres(connection: duckdb.DuckDBPyConnection, server: Postgres) -> Ask:
    """Copy a DuckDB database to a schema of its own, and return a function that queries the recipes there."""
    lacking = create_views(connection)
    found = """
      SELECT table_name, column_name, data_type FROM duckdb_columns() JOIN duckdb_tables() USING (table_name)
    """
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    for table, column, kind in connection.execute(found).fetchall():
        columns[table][column.lower()] = kind
    script = ["DROP SCHEMA IF EXISTS access CASCADE", "CREATE SCHEMA access", "SET search_path = access"]
    for table, kinds in (columns | empty_tables({*columns})).items():
        types = ", ".join(f'"{name}" {TYPES.get(kind, kind)}' for name, kind in kinds.items())
        script.append(f'CREATE TABLE "{table}" ({types})')
    for table in columns:
        rows = connection.execute(f'SELECT to_json(t) FROM "{table}" t').fetchall()
        data = [{name.lower(): value for name, value in json.loads(row).items()} for (row,) in rows]
        text = json.dumps(data).replace("'", "''")
        script.append(
            f'INSERT INTO "{table}" SELECT * FROM json_populate_recordset(NULL::"{table}", \'{text}\')'
        )
    script += [f"CREATE VIEW {name} AS {RECIPES[name].query}" for name in USED if name not in lacking]
    server.script(";\n".join(script))

    def ask(query: str) -> list[tuple[Any, ...]]:
        rows = server.execute(f"SET search_path = access; SELECT row_to_json(t) FROM ({query}) t")
        return [tuple(row.values()) for row in rows]

    return ask


def empty_tables(known: set[str]) -> dict[str, dict[str, str]]:
    """Return the columns of the optional tables that a database does not have."""
    names = {name for recipe in USED for name in RECIPES[recipe].optional} - known
    types = {"TIMESTAMPTZ": "timestamp"}
    return {
        name: {
            field.lower(): types.get(kind, kind)
            for field, kind in {
                **{f: column_type(schema) for f, schema in STREAMS[name].schema["properties"].items()},
                READ_AT: "TIMESTAMPTZ",
            }.items()
        }
        for name in names
    }
