"""Apply the deletions to a DuckDB database: run it after each sync.

    python -m tools.deletions confluence.duckdb [--allow SPACE] [--erase DAYS]

It marks the pages, posts, comments and attachments that no longer exist, and prints what became of the pages and posts.
Where more than twenty pages and more than a tenth of a space, or of the site, are absent at once, it only reports them.
--allow marks them all the same, in the space with this key or id, or in all. --erase removes what was marked so many
days ago.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import duckdb

from tools.database import opened
from tools.recipes import create_views, missing, recipes, variants

VIEWS = {"pages": "deletions", "posts": "post_deletions"}


def main() -> None:
    """Apply the deletions, and print a report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database", type=Path)
    parser.add_argument("--allow", metavar="SPACE", help="mark all absent pages of this space, or of `all`")
    parser.add_argument("--erase", metavar="DAYS", type=int, help="remove what was marked so many days ago")
    args = parser.parse_args()
    if args.erase is not None and args.erase < 0:
        parser.error("--erase takes a number of days, 0 for all that is marked")
    with opened(args.database) as connection:
        lacking = create_views(connection)
        if part := part_of(connection):
            sys.exit(
                f"{args.database} holds part {part}, which can lack what another part has. Combine the parts with "
                "python -m tools.combine, and run this program on the result."
            )
        if args.allow and set(VIEWS.values()) - lacking.keys():
            allow(connection, args.allow)
        apply(connection)
        if args.erase is not None:
            connection.begin()  # what is erased in halves is not found again
            erase(connection, args.erase)
            connection.commit()
        print(report(connection, lacking))


def part_of(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the part that a database with our views holds if it is one of several, such as 1/4."""
    held = (
        "SELECT to_json(s) ->> 'part' AS part FROM _syncs s"  # the table of another loader has no such column
    )
    one_of_several = "regexp_full_match(part, '[0-9]+/[0-9]+') AND part NOT LIKE '%/1'"
    found = connection.execute(f"FROM ({held}) WHERE {one_of_several}").fetchone()
    return str(found[0]) if found else ""


def allow(connection: duckdb.DuckDBPyConnection, space: str) -> None:
    """Mark what is absent now from a space, given by its key or id, or from `all`, however much it is."""
    ids = "SELECT $space UNION SELECT id FROM space WHERE key = $space"
    query = f"UPDATE _absent SET allowed = TRUE WHERE $space = 'all' OR spaceId IN ({ids})"  # noqa: S608 - our own query
    connection.execute(query, {"space": space})


def apply(connection: duckdb.DuckDBPyConnection) -> None:
    """Mark what no longer exists, in the streams that were synced."""
    for recipe in (*recipes(), *variants()):
        if recipe.name.startswith("apply_"):
            run(connection, recipe.query)


def erase(connection: duckdb.DuckDBPyConnection, days: int) -> None:
    """Remove what was marked so many days ago, with everything that belongs to it."""
    (recipe,) = (recipe for recipe in recipes() if recipe.name == "erase_deletions")
    run(connection, recipe.query.replace("30 days", f"{days} days"))


def run(connection: duckdb.DuckDBPyConnection, script: str) -> None:
    """Execute statements, except those on streams that were not synced."""
    for statement in script.split(";"):
        try:
            connection.execute(statement)
        except duckdb.CatalogException as error:
            missing(error)


def report(connection: duckdb.DuckDBPyConnection, lacking: dict[str, str]) -> str:
    """Return what became of the pages and posts, and what is held back; some views lack a table."""
    lines = []
    for kind, view in VIEWS.items():
        if view in lacking:
            lines.append(f"{kind}: unknown without the stream {lacking[view]}")
            continue
        rows = connection.view(view).aggregate("now, count(*) AS n").order("n DESC, now").fetchall()
        lines.append(f"{kind}: {', '.join(f'{count} {now}' for now, count in rows) or 'none'}")
        held = f"""
            SELECT coalesce(s.key, space_before), count(*) FROM {view} LEFT JOIN space s ON s.id = space_before
            WHERE now = 'held back' GROUP BY 1 ORDER BY 1"""  # noqa: S608 - our own views
        for space, count in connection.execute(held).fetchall():
            lines.append(f"Held back: {count} {kind} of {space}. If they are deleted, add --allow {space}.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
