"""The recipes: queries on what the connector has read. Each is a file in recipes/ and a view in the database.

    python -m tools.recipes demo/confluence.duckdb

writes docs/recipes.md with what they answer there, and the answer to the query in README.md.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from tools.marks import between_marks

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
PAGE = FOLDER.parent / "docs" / "recipes.md"
README = FOLDER.parent / "README.md"
# In the order of the page. text_for_ai asks page_tree, so that it comes after.
NAMES = (
    *("latest_pages", "page_tree", "spaces_alive", "edits_by_month", "contributors", "page_ages"),
    *("label_counts", "comment_threads", "space_access", "who_can_see", "audit_by_person"),
    *("text_for_ai", "deletions"),
)
HEAD = """\
# Recipes

Queries on what the connector has read, in DuckDB's SQL, with what they answer in the demo's database. Each is
a file in [recipes/](../recipes) and a view in that database. After `make demo`:

```sh
.venv/bin/python -c "import duckdb; duckdb.connect('demo/confluence.duckdb').sql('FROM page_tree').show()"
```

The same queries draw the report, `demo/report.html`. For a database of your own with a table for each
stream, as the demo's has: `.venv/bin/python -m tools.report your.duckdb report.html`.
What was not synced is left out of it.
"""


@dataclass(frozen=True)
class Recipe:
    """One query.

    Attributes:
        name: That of its file and of its view.
        title: What it answers.
        about: What there is to know, in Markdown.
        show: A query on the view whose answer stands in the documentation.
        query: The query itself.
    """

    name: str
    title: str
    about: str
    show: str
    query: str


def recipes() -> Iterator[Recipe]:
    """Yield the recipes in the order of the page."""
    for name in NAMES:
        lines = (FOLDER / f"{name}.sql").read_text(encoding="utf-8").splitlines()
        length = next(n for n, line in enumerate(lines) if not line.startswith("--"))
        head = "\n".join(line.removeprefix("--").removeprefix(" ") for line in lines[:length])
        title, _, rest = head.partition("\n")
        about, _, show = rest.partition("\nShow: ")
        yield Recipe(name, title, about, show, "\n".join(lines[length:]).strip())


def create_views(connection: duckdb.DuckDBPyConnection, kind: str = "VIEW") -> dict[str, str]:
    """Make a view of each recipe whose streams are there.

    Args:
        connection: A database with a table for each stream that was read.
        kind: What to create: VIEW, or TEMP VIEW to leave the file alone.

    Returns:
        For each recipe that cannot be asked, the name of the first table that it lacks.
    """
    connection.execute("SET TimeZone = 'UTC'")  # so that a day is the same day everywhere
    connection.execute("SET python_enable_replacements = false")  # a missing table is no variable of ours
    lacking: dict[str, str] = {}
    for recipe in recipes():
        try:
            connection.execute(f"CREATE OR REPLACE {kind} {recipe.name} AS {recipe.query}")
        except duckdb.CatalogException as error:
            name = missing(error)
            lacking[recipe.name] = lacking.get(name, name)
    return lacking


def missing(error: duckdb.CatalogException) -> str:
    """Return the name of the table that a query lacked.

    Raises:
        duckdb.CatalogException: It lacked something else.
    """
    found = re.search(r"Table with name (\w+) does not exist", str(error))
    if found is None:
        raise error
    return found[1]


def page(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the documentation of the recipes, with their answers."""
    create_views(connection, "TEMP VIEW")
    parts = [HEAD]
    for recipe in recipes():
        code = f"```sql\n{recipe.query}\n```\n\nAsked with\n\n```sql\n{recipe.show}\n```"
        parts.append(f"## {recipe.title}\n\n{recipe.about}\n\n{code}\n\n{answer(connection, recipe.show)}")
    return "\n".join(parts)


def readme(connection: duckdb.DuckDBPyConnection) -> str:
    """Return README.md with the answer to its query."""
    text = README.read_text(encoding="utf-8")
    (query,) = re.findall(r"```sql\n(.+?)```", text, re.DOTALL)
    return between_marks(text, "answer", answer(connection, query))


def answer(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the answer to a query as a table in Markdown."""
    result = connection.execute(query)
    columns = [name for name, *_ in result.description or []]
    lines = [columns, ["---"] * len(columns), *([cell(value) for value in row] for row in result.fetchall())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(value: Any) -> str:
    """Return a value as it stands in a table in Markdown."""
    text = "" if value is None else ", ".join(value) if isinstance(value, list) else str(value)
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Write the page."""
    with duckdb.connect(sys.argv[1], read_only=True) as connection:
        PAGE.write_text(page(connection), encoding="utf-8")
        README.write_text(readme(connection), encoding="utf-8")


if __name__ == "__main__":
    main()
