"""Sync a Confluence site into a DuckDB file and show it: the embedded site, or your own.

    python -m tools.demo
    python -m tools.demo --config secrets/config.json
    python -m tools.demo --config secrets/config.json --with page_restrictions --without audit

The connector runs as the console script `source-confluence`, in its own process. tools/load.py writes one table
for each stream. The demo then creates a view for each recipe, the pages in Markdown and a report. Everything is in one
directory: demo/ for the embedded site, which is read again each time, and demo/<name of the site> for your own.
There the next sync reads only changes of the streams with a cursor, and all others in full.

From your own site, streams that cost a request for each page, post, comment or attachment are read only if they are
named; so are the files of attachments (attachment_files). Ctrl-C ends a sync; the next one continues from there.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while modules are imported: no traceback

import argparse
import json
import re
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import duckdb

from common.streams import Stream as Declared
from common.streams import streams
from fake_confluence import Server, company, exported_users
from tools import deletions, documents, report
from tools.load import INTERRUPTED, SYNCS, check, failures, sentences, sync
from tools.recipes import create_views, load_export, recipes

if TYPE_CHECKING:
    from tools.load import Stream

FILES = "attachment_files"
EXPORT = "export-users.csv"  # for the recipe `emails`
DECLARED = {stream.name: stream for stream in streams()}
FEW = {"space", "labels", "group", "tree_item_index"}  # streams of few records, compared with pages


def main() -> None:
    """Run the demo."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "streams", nargs="*", metavar="STREAM", help="read only these streams, or all of them"
    )
    parser.add_argument("--config", type=Path, help="the configuration of your own site")
    parser.add_argument("--directory", type=Path, help="the directory for the results")
    parser.add_argument("--with", nargs="+", default=[], dest="more", metavar="STREAM", help="read these too")
    parser.add_argument("--without", nargs="+", default=[], metavar="STREAM", help="do not read these")
    args = parser.parse_args()
    if args.config and not args.config.exists():
        parser.error(f"There is no {args.config}. README.md describes this file.")
    try:
        with sentences(args.directory or Path("demo")):
            run(args)
    except KeyboardInterrupt:
        print(f"\n{INTERRUPTED}", file=sys.stderr)
        sys.exit(130)


def run(args: argparse.Namespace) -> None:
    """Read a site and show it."""
    names = chosen(args.streams, args.more, args.without, own=args.config is not None)
    with ExitStack() as stack:
        config = args.config
        if config is None:
            config = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "config.json"
            embedded = stack.enter_context(Server(company()))
            config.write_text(json.dumps(config_for(embedded)), encoding="utf-8")
            print(f"The embedded Confluence site runs on {embedded.url}")
        if unreadable := check(config):
            print(f"{unreadable}\n")
        directory = args.directory or Path("demo") / (name_of_site(config) if args.config else "")
        directory.mkdir(parents=True, exist_ok=True)
        database = directory / "confluence.duckdb"
        if args.config is None:
            database.unlink(missing_ok=True)
            (directory / EXPORT).write_text(exported_users(embedded.site), encoding="utf-8")
        files = None
        if FILES in names:
            files = directory / "files"
            files.mkdir(exist_ok=True)
        progress = Progress(counts(database))
        read = sync(config, database, names, progress.show, files)
    progress.show(read, last=True)
    records = sum(stream.records for stream in read.values())
    print(f"\n{records} records in {monotonic() - progress.began:.1f} s\n")
    show(directory)
    if args.config:
        tell_what_is_left_out(read, database)
    if lines := failures(read):
        print("\n".join(["", "Not complete:", *(f"  {line}" for line in lines)]))
    if any(not stream.refused for stream in read.values() if stream.status != "COMPLETE"):
        sys.exit(
            1
        )  # and not for what Confluence refuses, such as the audit log to people who are no administrators


def chosen(names: list[str], more: list[str], without: list[str], *, own: bool) -> list[str]:
    """Return the streams to read: of one's own site those that are cheap, or named.

    Raises:
        SystemExit: There is no stream of a given name.

    """
    if unknown := {*names, *more, *without} - DECLARED.keys() - {"all"}:
        listed = ", ".join(DECLARED)
        sys.exit(f"There is no stream {', '.join(sorted(unknown))}. The streams are {listed}.")
    first = names
    if not names or "all" in names:
        first = [name for name, stream in DECLARED.items() if names or not (own and is_costly(stream))]
    return [name for name in DECLARED if name in {*first, *more} - {*without}]


def is_costly(stream: Declared) -> bool:
    """Tell whether a stream costs a request for each page, post, comment or attachment."""
    return stream.router.get("type") == "SubstreamPartitionRouter" and not FEW.issuperset(stream.parents)


def counts(database: Path) -> dict[str, int]:
    """Return the number of rows of each stream that the last sync read in full."""
    if not database.exists():
        return {}
    with duckdb.connect(str(database)) as connection:
        connection.execute(SYNCS)
        rows = connection.execute("SELECT stream, records FROM _syncs WHERE status = 'COMPLETE'").fetchall()
    return {name: records for name, records in rows if name in DECLARED and not DECLARED[name].cursor}


@dataclass
class Progress:
    """The progress of a sync, on one line.

    Attributes:
        before: The number of records that the last sync read, of streams that are read in full.
        began: When the sync began.
        shown: When the line was shown last.
        first: For each stream when its first records were seen, and how many.

    """

    before: dict[str, int]
    began: float = field(default_factory=monotonic)
    shown: float = 0.0
    first: dict[str, tuple[float, int]] = field(default_factory=dict)

    def show(self, read: dict[str, Stream], said: str = "", *, last: bool = False) -> None:
        """Show it, a few times a second on a terminal and twice a minute elsewhere."""
        terminal, now = sys.stdout.isatty(), monotonic()
        for name, stream in read.items():
            if stream.records:
                self.first.setdefault(name, (now, stream.records))
        if not last and now - self.shown < (0.2 if terminal else 30):
            return
        self.shown = now
        complete = sum(stream.status == "COMPLETE" for stream in read.values())
        records = sum(stream.records for stream in read.values())
        line = f"{records:>9,} records, {complete} of {len(read)} streams complete, {now - self.began:,.0f} s"
        if said and not last:
            line += f". {said}"
        elif left := self.left(read, now):
            line += f", about {left / 60:,.0f} min left" if left > 90 else f", about {left:,.0f} s left"  # noqa: PLR2004
        print(f"\r{line[:110]:<110}" if terminal else line, end="" if terminal else "\n", flush=True)

    def left(self, read: dict[str, Stream], now: float) -> float | None:
        """Estimate the seconds that are left; None while a stream can have any number of records."""
        slowest = 0.0
        for name, stream in read.items():
            if stream.status != "COMPLETE":
                expected, (since, before) = self.expected(name, read), self.first.get(name, (now, 0))
                if not expected or now - since < 5 or stream.records == before:  # noqa: PLR2004 - seconds
                    return None
                slowest = max(
                    slowest, (expected - stream.records) / (stream.records - before) * (now - since)
                )
        return slowest or None

    def expected(self, name: str, read: dict[str, Stream]) -> int | None:
        """Return the number of records that a stream may have: that of the last sync, or of its parent."""
        if name in self.before:
            return self.before[name]
        index = {"pages": "page_index", "blog_posts": "blog_post_index"}.get(name)
        for parent in (index, *DECLARED[name].parents):
            if parent in read and read[parent].status == "COMPLETE":
                return read[parent].records
        return None


def config_for(site: Server) -> dict[str, object]:
    """Return a configuration that reads everything that the embedded site has."""
    types = sorted({record["type"] for record in site.site.records("custom_content")})
    settings = {"email": site.email, "api_token": site.token, "domain_name": site.url}
    return {**settings, "custom_content_types": types}


def name_of_site(config: Path) -> str:
    """Return the name of the site that a configuration reads, for a directory."""
    address = str(json.loads(config.read_bytes()).get("domain_name", ""))
    host = re.sub(r"^\s*https?://|[/?#].*", "", address.lower()).strip()
    return re.sub(r"[^\w.-]|^\.+", "_", host) or "_"


def tell_what_is_left_out(read: dict[str, Stream], database: Path) -> None:
    """Print what each sync reads again, and what this one did not read, with the number of requests."""
    full = [name for name, stream in read.items() if stream.records and not DECLARED[name].cursor]
    print(f"\nEvery sync reads in full: {', '.join(full)}")
    costly: dict[str, list[str]] = {}
    for name, stream in DECLARED.items():
        if name not in read and is_costly(stream):
            costly.setdefault(stream.parents[0], []).append(name)
    if costly:
        print(
            "\nNot read, because each costs a request for each record of another stream (--with NAME reads one):"
        )
    with duckdb.connect(str(database)) as connection:
        for parent, names in costly.items():
            known = f"one for each of {parent}"
            if parent in read:
                ((count,),) = connection.execute(f'SELECT count(*) FROM "{parent}"').fetchall()  # noqa: S608 - our own tables
                known = f"{count:,} requests"
            print(f"  {known}: {', '.join(names)}")


def show(directory: Path) -> None:
    """Make the views, the documents and the report, and print what there is."""
    database = directory / "confluence.duckdb"
    with duckdb.connect(str(database)) as connection:
        if (directory / EXPORT).exists():
            load_export(connection, directory / EXPORT)
        lacking = create_views(connection)
        if part := deletions.part_of(connection):
            print(f"This is part {part}: no deletions are applied.")
        else:
            deletions.apply(connection)
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
    for table in dict.fromkeys(lacking.values()):
        print(f"Without {table}: no {', '.join(name for name in lacking if lacking[name] == table)}")
    if "text_for_ai" not in lacking:
        print(f"As Markdown:   {directory / 'documents.jsonl'}")
    print(f"Report:        {(directory / 'report.html').resolve().as_uri()}")


if __name__ == "__main__":
    main()
