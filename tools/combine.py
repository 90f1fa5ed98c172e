"""Combine the DuckDB databases of the parts of a site in one, on which the deletions are applied.

    python -m tools.combine all.duckdb 1.duckdb 2.duckdb

tools/load.py fills the database of each part. Run this program while no part is synced, then tools/deletions.py on the
database of all. What is absent counts once for each round: a complete read of every part that began after the round
before it ended. Where a part has failed, or only some parts have been read since, nothing is known of what is absent.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from common.connector import STREAMS
from tools.database import opened
from tools.load import READ_AT, SYNCED, SYNCS

if TYPE_CHECKING:
    from collections.abc import Sequence


INDEXES = ("page_index", "blog_post_index")
TAKEN = """
    SELECT held, coalesce(t.finished, '-infinity')::VARCHAR FROM _parts p LEFT JOIN _taken t USING (part, stream)
    WHERE stream = $stream ORDER BY held
"""
# What says "deleted" of a comment or an attachment compares its read with that of the index, in each part.
PARTS_OF = """
    CREATE OR REPLACE TEMP TABLE _parts AS
    WITH each AS (FROM ({read}) WHERE finished IS NOT NULL)
    SELECT p.* REPLACE (
        CASE WHEN p.spaces IS NOT NULL THEN json_merge_patch(p.spaces, '{{"part": null}}')::VARCHAR END AS spaces,
        CASE WHEN p.stream NOT IN ('attachments', 'footer_comments', 'inline_comments') OR NOT EXISTS (
            FROM each i WHERE i.held = p.held AND i.stream IN {indexes}
            AND i.full_read IS DISTINCT FROM p.full_read
        ) THEN p.full_read END AS full_read
    ) FROM each p
"""
PARTS = "SELECT part FROM _parts GROUP BY part, held ORDER BY part"
SYNCS_OF = """
    SELECT count(*), bool_and(status = 'COMPLETE'), sum(records), max(finished), min(finished),
           CASE WHEN count(full_read) = count(*) THEN min(full_read) END,
           CASE WHEN count(full_before) = count(*) THEN min(full_before) END,
           CASE WHEN count(read_from) = count(*) THEN max(read_from)::VARCHAR END,
           CASE WHEN count(spaces) = count(*) AND min(spaces) = max(spaces) THEN min(spaces) END
    FROM _parts WHERE stream = $stream
"""


def main() -> None:
    """Read the command line and combine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database", type=Path, help="the database of all parts; created if it does not exist")
    parser.add_argument("parts", type=Path, nargs="+", help="the database of each part")
    args = parser.parse_args()
    for file in args.parts:
        if not file.exists():
            sys.exit(f"There is no {file}: sync this part first.")
        if args.parts.count(file) > 1 or file == args.database:
            sys.exit(f"{file} is named twice.")
    with opened(args.database, new=True) as connection:
        names: list[str] = []
        for file in args.parts:
            names.append(f"part_{len(names)}")
            path = str(file).replace("'", "''")
            connection.execute(f"ATTACH '{path}' AS {names[-1]} (READ_ONLY)")
            synced = "FROM duckdb_tables() WHERE database_name = $name AND table_name = '_syncs'"
            if not connection.execute(synced, {"name": names[-1]}).fetchall():
                sys.exit(f"{file} was never synced: sync this part first.")
        combine(connection, names)


def combine(connection: duckdb.DuckDBPyConnection, databases: Sequence[str]) -> None:
    """Update the tables of all parts, and `_syncs`, from the attached databases of the parts.

    Raises:
        SystemExit: They are not of different parts of one number of parts.

    """
    connection.execute(SYNCS)
    connection.execute(
        "CREATE TABLE IF NOT EXISTS _taken (part VARCHAR, stream VARCHAR, finished TIMESTAMPTZ, "
        "PRIMARY KEY (part, stream))"
    )
    read = " UNION ALL BY NAME ".join(f"SELECT *, '{name}' AS held FROM {name}._syncs" for name in databases)  # noqa: S608 - our own names
    # A database that starts from a state has rows for streams that it has not read.
    connection.execute(PARTS_OF.format(read=read, indexes=INDEXES))
    parts = [part or "the whole site" for (part,) in connection.execute(PARTS).fetchall()]
    counts = {part.partition("/")[2] for part in parts}
    if len(counts) != 1 or "" in counts or len(set(parts)) < len(parts):
        sys.exit(
            f"The databases hold {', '.join(parts) or 'nothing'}. Give one of each part, such as 1/2 and 2/2."
        )
    connection.begin()
    found = {stream for (stream,) in connection.execute("SELECT stream FROM _parts").fetchall()}
    for stream in sorted(found & STREAMS.keys()):  # an older version can have had others
        take(connection, stream)
        tell(connection, stream, int(*counts))
    connection.execute("INSERT OR REPLACE INTO _taken SELECT part, stream, finished FROM _parts")
    connection.commit()


def take(connection: duckdb.DuckDBPyConnection, stream: str) -> None:
    """Update the table of a stream with the newest row of each key: a page can move from part to part.

    What was taken before is not taken again: it would undo what the deletions did to the row. A row that a failed sync
    did not read again stays in doubt: an older one of another part does not replace it.
    """
    sources, cursor = [], STREAMS[stream].cursor
    for held, taken in connection.execute(TAKEN, {"stream": stream}).fetchall():
        later = f"WHERE {READ_AT} > '{taken}'" if cursor else ""
        sources.append(f'SELECT *, 1 AS _order FROM {held}."{stream}" {later}')  # noqa: S608 - names from our schemas
    exists = "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND table_name = $stream"
    if cursor and connection.execute(exists, {"stream": stream}).fetchall():
        sources.append(f'SELECT *, 0 AS _order FROM "{stream}"')  # noqa: S608 - as above
    key = ", ".join(f'"{field}"' for field in STREAMS[stream].key)
    connection.execute(
        f'CREATE OR REPLACE TABLE "{stream}" AS SELECT * EXCLUDE (_order) FROM '  # noqa: S608 - as above
        f"({' UNION ALL BY NAME '.join(sources)}) QUALIFY row_number() OVER "
        f"(PARTITION BY {key} ORDER BY {READ_AT} DESC NULLS {'LAST' if cursor else 'FIRST'}, _order) = 1"
    )


def tell(connection: duckdb.DuckDBPyConnection, stream: str, count: int) -> None:
    """Write in `_syncs` what the parts together have read of a stream."""
    found = connection.execute(SYNCS_OF, {"stream": stream}).fetchone()
    assert found
    known, complete, records, finished, oldest, full_read, full_before, read_from, spaces = found
    complete = complete and known == count
    if stream in INDEXES:
        before = connection.execute("SELECT finished FROM _syncs WHERE stream = $1", [stream]).fetchone()
        last = before[0] if before else None
        if not complete or (last and full_read <= last):  # not one more round
            complete = complete and finished == last
            finished = last
    elif not STREAMS[stream].cursor:
        finished = oldest if complete else None  # else another list of readers would seem to be newer
    connection.execute("DELETE FROM _syncs WHERE stream = $1", [stream])
    row = {"stream": stream, "status": "COMPLETE" if complete else "INCOMPLETE", "records": records}
    times = {"finished": finished, "full_read": full_read, "read_from": read_from, "spaces": spaces}
    connection.execute(SYNCED, {**row, **times, "state": None, "part": f"1/{count} to {count}/{count}"})
    connection.execute("UPDATE _syncs SET full_before = $1 WHERE stream = $2", [full_before, stream])


if __name__ == "__main__":
    main()
