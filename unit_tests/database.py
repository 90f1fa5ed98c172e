"""A DuckDB database with the tables that the demo loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from common.connector import discovered
from tools.load import load
from tools.recipes import create_views


def database(directory: Path, records: Mapping[str, list[dict[str, Any]]]) -> Path:
    """Load records, by stream, into a database as the demo does."""
    file, lines = directory / "confluence.duckdb", directory / "lines.jsonl"
    with duckdb.connect(str(file)) as connection:
        for name, data in records.items():
            lines.write_text("".join(json.dumps(record) + "\n" for record in data), encoding="utf-8")
            load(connection, discovered(name), lines, whole=True)
        create_views(connection)
    return file
