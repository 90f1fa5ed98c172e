"""Sync a Confluence site into a DuckDB file and show it: the embedded site, or your own.

    python -m tools.demo
    python -m tools.demo --config secrets/config.json

The connector runs as the console script `source-confluence`, in its own process. tools/load.py writes one table
for each stream. Attachments are downloaded as files; from your own site only if you name the stream
attachment_files. The demo then creates a view for each recipe, the pages in Markdown and a report. Everything is in one
directory: demo/ for the embedded site, which is read again each time, and demo/<name of the site> for your own.
There the second sync reads only changes.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import duckdb

from fake_confluence import Server, company
from tools import documents, report
from tools.load import check, sync
from tools.recipes import create_views, recipes

if TYPE_CHECKING:
    from tools.load import Stream

FILES = "attachment_files"


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, help="the configuration of your own site")
    parser.add_argument("--directory", type=Path, help="the directory for the results")
    parser.add_argument("streams", nargs="*", metavar="STREAM", help="streams to read; all if none is named")
    args = parser.parse_args()
    with ExitStack() as stack:
        config, directory = args.config, args.directory
        if config and not config.exists():
            parser.error(f"There is no {config}. README.md describes this file.")
        if config is None:
            config = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "config.json"
            embedded = stack.enter_context(Server(company()))
            config.write_text(json.dumps(config_for(embedded)), encoding="utf-8")
            print(f"The embedded Confluence site runs on {embedded.url}")
        check(config)
        directory = directory or Path("demo") / (name_of_site(config) if args.config else "")
        directory.mkdir(parents=True, exist_ok=True)
        database = directory / "confluence.duckdb"
        if args.config is None:
            database.unlink(missing_ok=True)
        files = None  # those of your own site only when asked for by name
        if args.config is None or FILES in args.streams:
            files = directory / "files"
            files.mkdir(exist_ok=True)
        began = monotonic()
        read = sync(config, database, args.streams, progress, files)
    records = sum(stream.records for stream in read.values())
    print(f"\n{records} records in {monotonic() - began:.1f} s\n")
    show(directory)
    if failed := [name for name, stream in read.items() if stream.status != "COMPLETE"]:
        raise SystemExit(f"Incomplete: {', '.join(failed)}. The messages above say why.")


def config_for(site: Server) -> dict[str, object]:
    """Return a configuration that reads everything that the embedded site has."""
    types = sorted({record["type"] for record in site.site.records("custom_content")})
    settings = {"email": site.email, "api_token": site.token, "domain_name": site.url}
    return {**settings, "custom_content_types": types}


def name_of_site(config: Path) -> str:
    """Return the name of the site that a configuration reads, for a directory."""
    address = str(json.loads(config.read_text(encoding="utf-8")).get("domain_name", ""))
    host = re.sub(r"^\s*https?://|[/?#].*", "", address.lower()).strip()
    return re.sub(r"[^\w.-]|^\.+", "_", host) or "_"


def progress(read: dict[str, Stream]) -> None:
    """Print the progress of the read on one line."""
    begun = [stream.records for stream in read.values() if stream.records]
    print(f"\r{sum(begun):>7} records, {len(begun)} of {len(read)} streams", end="", flush=True)


def show(directory: Path) -> None:
    """Make the views, the documents and the report, and print what there is."""
    database = directory / "confluence.duckdb"
    with duckdb.connect(str(database)) as connection:
        lacking = create_views(connection)
        if "text_for_ai" not in lacking:
            documents.write(connection, directory / "documents.jsonl")
        tables = connection.execute("SELECT stream FROM _syncs ORDER BY 1").fetchall()
        width = max(len(name) for (name,) in tables)
        for (name,) in tables:
            ((count,),) = connection.execute(f'SELECT count(*) FROM "{name}"').fetchall()  # noqa: S608 - our own tables
            print(f"  {name:<{width}}  {count:>6}")
        recipe = next(recipe for recipe in recipes() if recipe.name == "spaces_alive")
        if recipe.name not in lacking:
            print(f"\n{recipe.title}: {recipe.about}\n\n{recipe.query}\n\n{recipe.show}\n")
            connection.sql(recipe.show).show()
    report.write(database, directory / "report.html")
    arrived = sorted(path for path in directory.glob(f"files/{FILES}/*/*") if path.is_file())
    if arrived:
        print(f"{len(arrived)} files were downloaded, such as:")
        for path in arrived[:3]:
            print(f"  {path}  {path.stat().st_size:,} bytes")
    print(f"Query it:      duckdb.connect('{database}'), with docs/recipes.md")
    if "text_for_ai" not in lacking:
        print(f"As Markdown:   {directory / 'documents.jsonl'}")
    print(f"Report:        {(directory / 'report.html').resolve().as_uri()}")


if __name__ == "__main__":
    main()
