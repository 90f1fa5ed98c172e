"""Sync the embedded Confluence site into a DuckDB file, as a user would sync their own.

    python -m tools.demo [--directory demo]

The connector runs as the console script `source-confluence`, in its own process; what it prints is loaded
into one table a stream, with a view for each recipe, and drawn as a report. Everything that the demo leaves
is in the directory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson

from fake_confluence import Server, company
from tools import report
from tools.recipes import create_views, recipes

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTOR = str(Path(sys.executable).with_name("source-confluence"))


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--directory", type=Path, default=Path("demo"), help="where to leave what the demo makes"
    )
    directory = parser.parse_args().directory
    directory.mkdir(exist_ok=True)
    with Server(company()) as site:
        print(f"An embedded Confluence site listens on {site.url}")
        config = directory / "config.json"
        settings = {"email": site.email, "api_token": site.token, "domain_name": site.url}
        types = sorted({record["type"] for record in site.site.records("custom_content")})
        config.write_text(json.dumps(settings | {"custom_content_types": types}, indent=2))
        catalog = discover(config, directory / "catalog.json")
        began = time.monotonic()
        counts = sync(config, catalog, directory, site)
        seconds = time.monotonic() - began
        print(f"\n{sum(counts.values())} records in {seconds:.1f} s and {len(site.log)} requests\n")
    show(directory / "confluence.duckdb")
    report.write(directory / "confluence.duckdb", directory / "report.html")
    print(f"Look further: duckdb.connect('{directory / 'confluence.duckdb'}'), docs/recipes.md")
    print(f"Look at it:   {(directory / 'report.html').resolve().as_uri()}")


def discover(config: Path, catalog: Path) -> Path:
    """Write a catalog that reads every stream that the connector has."""
    found = next(
        message["catalog"] for message in run("discover", "--config", config) if "catalog" in message
    )
    configured = [
        {"stream": stream, "sync_mode": stream["supported_sync_modes"][-1], "destination_sync_mode": "append"}
        for stream in found["streams"]
    ]
    catalog.write_text(json.dumps({"streams": configured}))
    return catalog


def sync(config: Path, catalog: Path, directory: Path, site: Server) -> dict[str, int]:
    """Read all streams into JSON lines, then into tables; return the number of records by stream."""
    schemas = {
        s["stream"]["name"]: s["stream"]["json_schema"] for s in json.loads(catalog.read_text())["streams"]
    }
    lines = {name: directory / f"{name}.jsonl" for name in schemas}
    counts = dict.fromkeys(schemas, 0)
    with ExitStack() as open_files:
        files = {name: open_files.enter_context(path.open("wb")) for name, path in lines.items()}
        for message in run("read", "--config", config, "--catalog", catalog):
            if record := message.get("record"):
                counts[record["stream"]] += 1
                files[record["stream"]].write(orjson.dumps(record["data"]) + b"\n")
                if sum(counts.values()) % 500 == 0:
                    progress(counts, site)
    progress(counts, site)
    load(directory / "confluence.duckdb", schemas, lines)
    return counts


def progress(counts: dict[str, int], site: Server) -> None:
    """Tell on one line how far the read has come."""
    begun = sum(count > 0 for count in counts.values())
    print(
        f"\r{sum(counts.values()):>7} records, {begun} of {len(counts)} streams, {len(site.log)} requests",
        end="",
    )


def run(command: str, *arguments: str | Path) -> Iterator[dict[str, Any]]:
    """Run the connector and yield its messages.

    Raises:
        SystemExit: The connector failed; it has said why on stderr.
    """
    process = subprocess.Popen([CONNECTOR, command, *map(str, arguments)], stdout=subprocess.PIPE)  # noqa: S603 - our own script
    assert process.stdout
    yield from map(orjson.loads, process.stdout)
    if process.wait():
        sys.exit(process.returncode)


def load(database: Path, schemas: dict[str, dict[str, Any]], lines: dict[str, Path]) -> None:
    """Load one table a stream from its JSON lines, and delete these."""
    database.unlink(missing_ok=True)
    with duckdb.connect(str(database)) as connection:
        for name, path in lines.items():
            columns = {field: column_type(schema) for field, schema in schemas[name]["properties"].items()}
            # The name and the types come from our schemas; the path is ours.
            connection.execute(
                f'CREATE TABLE "{name}" AS SELECT * FROM read_json($path, columns = {columns!r}, '  # noqa: S608
                "format = 'newline_delimited', maximum_object_size = 100000000)",
                {"path": str(path)},
            )
            path.unlink()
        create_views(connection)


def column_type(schema: dict[str, Any]) -> str:
    """Return the DuckDB type for a property's schema."""
    types = {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"]) - {"null"}
    if types == {"string"}:
        return "TIMESTAMPTZ" if schema.get("format") == "date-time" else "VARCHAR"
    return (
        {"integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}.get(types.pop(), "JSON")
        if len(types) == 1
        else "JSON"
    )


def show(database: Path) -> None:
    """Print the tables with their counts, and one query with its result."""
    with duckdb.connect(str(database), read_only=True) as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
        ]
        width = max(map(len, names))
        for name in names:
            ((count,),) = connection.execute(f'SELECT count(*) FROM "{name}"').fetchall()  # noqa: S608 - our own tables
            print(f"  {name:<{width}}  {count:>6}")
        recipe = next(recipe for recipe in recipes() if recipe.name == "spaces_alive")
        print(f"\n{recipe.title}? {recipe.about}\n\n{recipe.query}\n\n{recipe.show}\n")
        connection.sql(recipe.show).show()


if __name__ == "__main__":
    main()
