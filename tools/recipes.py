"""The recipes: queries on the synced tables, in SQL for DuckDB and PostgreSQL.

Each is a file in recipes/ and a view in the database, except for those that change tables.

    python -m tools.recipes demo/confluence.duckdb

writes docs/recipes.md with their results there, and the result of the query in README.md.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from common.connector import STREAMS
from common.markdown import between_marks
from tools.database import opened
from tools.documents import documents
from tools.load import READ_AT, column_type

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
PAGE = FOLDER.parent / "docs" / "recipes.md"
README = FOLDER.parent / "README.md"
# In the order of the page. A recipe that uses another one comes after it.
NAMES = (
    *(
        "latest_pages",
        "page_tree",
        "subtrees",
        "labelled_pages",
        "people",
        "emails",
        "spaces_alive",
        "edits_by_month",
    ),
    *("contributors", "page_ages", "label_counts", "comment_threads", "space_access", "space_readers"),
    *("reader_lists", "unknown_readers", "who_can_see", "audit_by_person", "text_for_ai"),
    *("deletion_tables", "airbyte_syncs", "deletions", "living_pages", "forget", "apply_deletions"),
    *("footer_comment_deletions", "apply_footer_comment_deletions", "erase_deletions"),
)
# The same recipes for other content: which ones, and what to replace in them. A post has no parent.
OF_POSTS = (
    *((r".*parent.*\n", ""), ("deletions", "post_deletions"), ("forget", "forget_posts")),
    *(("pageId", "blogPostId"), ("page", "blog_post")),
)
OF_COMMENTS = ("footer_comment_deletions", "apply_footer_comment_deletions")
VARIANTS = (
    (("deletions", "living_pages", "forget", "apply_deletions"), OF_POSTS),
    (OF_COMMENTS, (("footer_comment", "inline_comment"),)),
    (OF_COMMENTS, (("footer_comment", "attachment"),)),
)
WRITTEN = "Architecture overview"  # the page that is shown in Markdown
HEAD = """\
# Recipes

Queries on the synced tables, with their results in the demo's database. They run in DuckDB and PostgreSQL; the tests
run both. Each is a file in [recipes/](../recipes) and a view in the demo's database. After `make demo`:

```sh
.venv/bin/python -c "import duckdb; duckdb.connect('demo/confluence.duckdb').sql('FROM page_tree').show()"
```

The report, `demo/report.html`, uses the same queries. To make one from your own database with a table for each stream,
run `.venv/bin/python -m tools.report your.duckdb report.html`. It leaves out streams that were not synced.

A recipe needs the tables that it names. Of those after *Optional*, create an empty one for each that you do not have.
`_syncs` is the table of [tools/load.py](../tools/load.py) with the status of each stream's last sync.
"""


MARKDOWN = """\
## A page in Markdown

[tools/documents.py](../tools/documents.py) is a program that you can copy. It converts a body in any format
(storage, atlas_doc_format or rendered) to Markdown with [markdownify](https://pypi.org/project/markdownify/):
headings to split on, tables, tasks, code, panels, links, mentions and emoji. A cell that spans rows is repeated in
each of them. A mention shows the name that `users` or `named_users` has. Macros keep their visible text and lose their
parameters. Content that Confluence generates when it shows a page, such as a table of contents, is left out. The
`content` of an empty live doc is null: [not
known](oddities.md#a-live-doc-can-have-an-empty-body-although-it-has-text). So is that of a body that cannot be
converted, which is named on stderr. `make demo` writes a line for each page and post to
`demo/documents.jsonl`, and so does

```sh
.venv/bin/python -m tools.documents demo/confluence.duckdb documents.jsonl
```

A page in Confluence (storage):

````html
{storage}
````

The same page in Markdown:

````markdown
{content}
````

Besides `content`, the line has

```json
{more}
```
"""


@dataclass(frozen=True)
class Recipe:
    """One query.

    Attributes:
        name: The name of its file and of its view.
        title: The heading.
        about: The description, in Markdown.
        show: A query on the view, whose result is in the documentation.
        query: The query itself.

    """

    name: str
    title: str
    about: str
    show: str
    query: str

    @property
    def asks(self) -> bool:
        """Whether it is a query and does not change tables."""
        return self.query.startswith(("SELECT", "WITH"))

    @property
    def optional(self) -> list[str]:
        """The tables that can be missing: the query then treats them as empty."""
        _, _, named = self.about.partition("\nOptional: ")
        return re.findall(r"`(\w+)`", named)

    def query_on(self, tables: set[str]) -> str:
        """Return the query for a database with these tables: an empty one stands for each optional one."""
        empty = "".join(f"{empty_table(name)},\n" for name in self.optional if name not in tables)
        return re.sub(r"^WITH( RECURSIVE)?\s", rf"\g<0>{empty}", self.query) if empty else self.query


def recipes() -> Iterator[Recipe]:
    """Yield the recipes in the order of the page."""
    for name in NAMES:
        lines = (FOLDER / f"{name}.sql").read_text(encoding="utf-8").splitlines()
        length = next(n for n, line in enumerate(lines) if not line.startswith("--"))
        head = "\n".join(line.removeprefix("--").removeprefix(" ") for line in lines[:length])
        title, _, rest = head.partition("\n")
        about, _, show = rest.partition("\nShow: ")
        yield Recipe(name, title, about, show, "\n".join(lines[length:]).strip())


def variants() -> Iterator[Recipe]:
    """Yield the same recipes for posts, inline comments and attachments."""
    known = {recipe.name: recipe for recipe in recipes()}
    for names, replacements in VARIANTS:
        for recipe in (known[name] for name in names):
            name, show, query = recipe.name, recipe.show, recipe.query
            for old, new in replacements:
                name, show, query = (re.sub(old, new, text) for text in (name, show, query))
            yield replace(recipe, name=name, show=show, query=query)


def empty_table(name: str) -> str:
    """Return a common table expression with the columns of a stream and no rows."""
    types = {
        "stream": "VARCHAR",
        "status": "VARCHAR",
        "finished": "TIMESTAMPTZ",
        "spaces": "VARCHAR",
    }  # of _syncs
    if name in STREAMS:
        fields = STREAMS[name].schema["properties"].items()
        types = {**{field: column_type(schema) for field, schema in fields}, READ_AT: "TIMESTAMPTZ"}
    columns = ", ".join(f'NULL::{kind} AS "{field}"' for field, kind in types.items())
    return f"{name} AS (SELECT {columns} WHERE FALSE)"


def create_views(connection: duckdb.DuckDBPyConnection, kind: str = "VIEW") -> dict[str, str]:
    """Create a view of each recipe whose streams were synced.

    Args:
        connection: A database with a table for each stream that was read.
        kind: What to create: VIEW, or TEMP VIEW to leave the file alone.

    Returns:
        For each recipe without a view, the name of the first missing table.

    """
    connection.execute("SET TimeZone = 'UTC'")  # so that dates do not depend on the machine
    connection.execute(
        "SET python_enable_replacements = false"
    )  # a missing table must not resolve to a Python variable
    create_tables(connection, kind.replace("VIEW", "TABLE"))
    tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    lacking: dict[str, str] = {}
    for recipe in (*recipes(), *variants()):
        if not recipe.asks:
            continue
        try:
            connection.execute(f"CREATE OR REPLACE {kind} {recipe.name} AS {recipe.query_on(tables)}")
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            name = missing(error)
            lacking[recipe.name] = lacking.get(name, name)
    return lacking


def load_export(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Load an organisation's export of its users, for the recipe `emails`."""
    connection.execute("DROP TABLE IF EXISTS exported_users")
    connection.read_csv(str(file), all_varchar=True).create("exported_users")


def create_tables(connection: duckdb.DuckDBPyConnection, kind: str) -> None:
    """Create those tables for the deletions that do not exist."""
    (tables,) = (recipe.query for recipe in recipes() if recipe.name == "deletion_tables")
    for statement in tables.split(";"):
        (name,) = re.findall(r"EXISTS (\w+)", statement)
        if not connection.execute("FROM duckdb_tables() WHERE table_name = $name", {"name": name}).fetchall():
            connection.execute(statement.replace("TABLE", kind))


def missing(error: duckdb.Error) -> str:
    """Return the name of the missing table, or of the column that an older loader did not write.

    Raises:
        duckdb.Error: Something else is missing.

    """
    found = re.search(r"Table with name (\w+) does not exist|column (?:named )?\"(\w+)\"", str(error))
    if found is None:
        raise error
    return found[1] or found[2]


def page(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the documentation of the recipes, with their results."""
    create_views(connection, "TEMP VIEW")
    parts = [HEAD]
    for recipe in recipes():
        parts.append(f"## {recipe.title}\n\n{recipe.about}\n\n```sql\n{recipe.query}\n```\n")
        if recipe.asks:
            parts.append(f"Example:\n\n```sql\n{recipe.show}\n```\n\n{result(connection, recipe.show)}")
        if recipe.name == "text_for_ai":
            parts.append(in_markdown(connection))
    return "\n".join(parts)


def in_markdown(connection: duckdb.DuckDBPyConnection) -> str:
    """Return a page in storage format, followed by its Markdown."""
    query = "SELECT body -> 'storage' ->> 'value' FROM pages WHERE title = $title"
    ((storage,),) = connection.execute(query, {"title": WRITTEN}).fetchall()
    (document,) = (found for found in documents(connection) if found["title"] == WRITTEN)
    content = document.pop("content")
    more = json.dumps({**document, "may_see": [*document["may_see"][:1], "…"]}, indent=2, ensure_ascii=False)
    return MARKDOWN.format(storage=storage, content=content, more=more)


def readme(connection: duckdb.DuckDBPyConnection) -> str:
    """Return README.md with the result of its query."""
    text = README.read_text(encoding="utf-8")
    (query,) = re.findall(r"```sql\n(.+?)```", text, re.DOTALL)
    return between_marks(text, "result", result(connection, query))


def result(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the result of a query as a table in Markdown."""
    found = connection.execute(query)
    columns = [name for name, *_ in found.description or []]
    lines = [columns, ["---"] * len(columns), *([cell(value) for value in row] for row in found.fetchall())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(value: Any) -> str:
    """Return a value as a cell of a table in Markdown."""
    text = "" if value is None else ", ".join(value) if isinstance(value, list) else str(value)
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Write the page."""
    with opened(Path(sys.argv[1]), read_only=True) as connection:
        PAGE.write_text(page(connection), encoding="utf-8")
        README.write_text(readme(connection), encoding="utf-8")


if __name__ == "__main__":
    main()
