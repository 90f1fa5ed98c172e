"""Records arrive unchanged in databases: in DuckDB by tools/load.py, in PostgreSQL by PyAirbyte.

Both read the embedded site; the site changes; both read it again. The PostgreSQL server is a real one, with a
folder of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from common.connector import CONNECTOR, STREAMS, config_for, discovered
from fake_confluence import Server, company, exported_users, generate
from tools import load
from tools.recipes import create_views, load_export, recipes, variants
from unit_tests.invalid_records import ODD, each_in_a_record_of_its_own
from unit_tests.postgres import Postgres, plain
from unit_tests.runners import OF_SEVERAL_TYPES, PyAirbyte
from unit_tests.warehouse import Warehouse, without_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86400.0
RECIPES = {recipe.name: recipe for recipe in recipes()}
APPLIED = [recipe for recipe in (*recipes(), *variants()) if recipe.name.startswith("apply_")]
IN_POSTGRES = [name for name in STREAMS if name not in OF_SEVERAL_TYPES]
# Records on which PyAirbyte ends the read with an error, and records that it drops.
REFUSED = [
    "unknown fields",  # one field has an empty name
    "odd text",  # with a NUL, which PostgreSQL cannot store
    "numbers that fit no integer",
    *("a day that does not exist", "an empty date", "a number for a date", "a list for a date"),
]
DROPPED = ["a lone surrogate", "nested six hundred deep"]


def into_postgres(server: Postgres, config: Path) -> PyAirbyte:
    return PyAirbyte(config, CONNECTOR, f"{server.port}:{server.name}")


def read(airbyte: PyAirbyte, *streams: str) -> None:
    airbyte.begin([*streams])
    airbyte.finish()


def sorted_rows(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows)


# ------------------------------------------------------------------ both: a full sync, then the changes


@dataclass
class Synced:
    """One site in two databases.

    Attributes:
        duck: The DuckDB file.
        postgres: The server.
        counts: The number of records of each sync into PostgreSQL.
    """

    duck: Path
    postgres: Postgres
    counts: list[int]

    def from_duckdb(self, query: str) -> list[dict[str, Any]]:
        with duckdb.connect(str(self.duck), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            rows = connection.execute(f"SELECT to_json(t) FROM ({query}) t").fetchall()
        return [plain(json.loads(row)) for (row,) in rows]


@pytest.fixture(scope="module")
def synced(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synced]:
    folder = tmp_path_factory.mktemp("synced")
    with Server(company(small=True)) as site:
        types = sorted({record["type"] for record in site.site.records("custom_content")})
        config = folder / "config.json"
        config.write_text(json.dumps(config_for(site, custom_content_types=types)))
        found = Synced(folder / "confluence.duckdb", postgres, [])
        with into_postgres(postgres, config) as airbyte, without_processes():
            airbyte.settle()
            for _ in range(2):
                airbyte.begin(IN_POSTGRES)
                streams = load.sync(config, found.duck)
                assert {stream.status for stream in streams.values()} == {"COMPLETE"}
                airbyte.finish()
                if len(airbyte.counts) == 1:
                    change(site)
            found.counts += airbyte.counts
        export = folder / "export-users.csv"
        text = exported_users(site.site)
        export.write_text(
            "\ufeff" + text + text.splitlines()[1] + "\r\n", encoding="utf-8"
        )  # once for each group
        export.chmod(0o644)
        with duckdb.connect(str(found.duck)) as connection:
            load_export(connection, export)
            create_views(connection)
        columns = ", ".join(f'"{name}" text' for name in text.splitlines()[0].split(","))
        postgres.execute(f"CREATE TABLE exported_users ({columns})")
        postgres.execute(f"\\copy exported_users FROM '{export}' (FORMAT csv, HEADER)")
        postgres.execute(RECIPES["airbyte_syncs"].query.replace("-- UNION", "UNION"))  # with guests
        postgres.execute(RECIPES["deletion_tables"].query)
        for recipe in (*RECIPES.values(), *variants()):
            if recipe.asks:
                postgres.execute(f"CREATE VIEW {recipe.name} AS {recipe.query}")
        yield found


def change(server: Server) -> None:
    """Simulate a day on the site: pages are edited, archived, trashed, purged, added and labelled."""
    site = server.site
    site.tick(DAY)
    edited, archived, trashed, purged, *_ = [
        p["id"] for p in site.records("pages") if p["status"] == "current"
    ][5:]
    site.edit_page(edited, title="Edited since")
    site.archive_page(archived)
    site.trash_page(trashed)
    site.purge_page(purged)
    site.add_page("New since", space_id=site.records("spaces")[0]["id"])
    site.edit_blog_post(site.records("blog_posts")[0]["id"], title="Edited since")


def test_only_fields_of_any_type_have_no_column_in_postgres() -> None:
    assert {*OF_SEVERAL_TYPES} <= {"page_properties", "blog_post_properties", "space_properties"}


def test_the_second_sync_reads_what_changed(synced: Synced) -> None:
    first, second = synced.counts
    assert 0 < second < first


@pytest.mark.parametrize("name", list(STREAMS))
def test_a_table_has_each_record_once_after_two_syncs(synced: Synced, name: str) -> None:
    rows = synced.from_duckdb(f'SELECT * FROM "{name}"')
    assert rows
    keys = [tuple(row[field.lower()] for field in STREAMS[name].key) for row in rows]
    assert len(keys) == len(set(keys))
    if name in IN_POSTGRES:
        assert sorted_rows(synced.postgres.rows(f'SELECT * FROM "{name}"')) == sorted_rows(rows)


def test_both_databases_have_the_changes(synced: Synced) -> None:
    query = "SELECT id, title FROM pages WHERE title IN ('Edited since', 'New since') ORDER BY title"
    rows = synced.from_duckdb(query)
    assert [row["title"] for row in rows] == ["Edited since", "New since"]
    assert synced.postgres.rows(query) == rows


@pytest.mark.parametrize("name", IN_POSTGRES)
def test_each_column_in_postgres_has_the_type_of_its_field(synced: Synced, name: str) -> None:
    types = {"string": "character varying", "integer": "bigint", "number": "numeric", "boolean": "boolean"}
    query = (
        f"SELECT column_name || '=' || data_type FROM information_schema.columns WHERE table_name = '{name}'"
    )
    found = dict(line.split("=") for line in synced.postgres.execute(query))
    for field, schema in STREAMS[name].schema["properties"].items():
        (kind,) = {*([schema["type"]] if isinstance(schema["type"], str) else schema["type"])} - {"null"}
        expected = (
            "timestamp without time zone" if schema.get("format") == "date-time" else types.get(kind, "json")
        )
        assert (field, found[field.lower()]) == (field, expected)


def test_an_export_gives_the_addresses_that_people_hide(synced: Synced) -> None:
    rows = {row["accountid"]: row for row in synced.from_duckdb("SELECT * FROM emails")}
    users = {user["accountId"]: user for user in company(small=True).records("users")}
    assert rows.keys() == users.keys()
    for account, row in rows.items():
        user = users[account]
        if user["email"]:
            assert (row["email"], row["source"]) == (user["email"], "Confluence")
        elif user["accountType"] == "atlassian" and user["_permissionTypes"]:
            first = user["publicName"].split()[0].lower()
            assert (row["email"], row["source"]) == (f"{first}@norrvik.example", "export")
        else:  # an app, or a person who left: nobody knows
            assert (row["email"], row["source"]) == (None, None)
    assert {row["source"] for row in rows.values()} == {"Confluence", "export", None}


@pytest.mark.parametrize("name", [recipe.name for recipe in RECIPES.values() if recipe.asks])
def test_a_recipe_returns_the_same_rows_in_both_databases(synced: Synced, name: str) -> None:
    for query in (f"SELECT * FROM {name}", RECIPES[name].show):
        rows = synced.from_duckdb(query)
        assert rows or query == "SELECT * FROM unknown_readers"
        there = synced.postgres.rows(query)
        for row in (*rows, *there):
            row.pop("absent_since", None)  # each database was filled at another time
        assert sorted_rows(there) == sorted_rows(rows)


APPLY = "; ".join(recipe.query for recipe in APPLIED)
AGAIN = {  # as if the index had been read again, without a change
    "DuckDB": "UPDATE _syncs SET finished = finished + INTERVAL '1 hour'",
    "PostgreSQL": "UPDATE page_index SET _airbyte_extracted_at = _airbyte_extracted_at + INTERVAL '1 hour'",
}
ERASE = RECIPES["erase_deletions"].query.replace("30 days", "0 days")
KEPT = {
    "pages": "id, status, spaceId, parentId",
    "blog_posts": "id, status, spaceId",
    "footer_comments": "id, pageId, status",
    "rendered_pages": "id",
    "page_versions": "pageId, number",
    "_absent": "stream, id, spaceId",
}


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (APPLY, ["current"]),
        (f"{APPLY}; {{again}}; {APPLY}", ["purged, hidden or moved out"]),
        (f"{APPLY}; {{again}}; {APPLY}; {ERASE}", []),
    ],
    ids=["after one read", "after two reads", "erased"],
)
def test_both_databases_apply_the_same_deletions(synced: Synced, script: str, status: list[str]) -> None:
    (gone,) = synced.from_duckdb("SELECT id FROM deletions WHERE now = 'absent'")
    rows = " UNION ALL ".join(
        f"SELECT '{table}' AS stream, to_json(x)::VARCHAR AS data FROM (SELECT {names} FROM {table}) x"
        for table, names in KEPT.items()
    )
    with duckdb.connect(str(synced.duck)) as connection:
        connection.begin()
        connection.execute(script.format(again=AGAIN["DuckDB"]))
        found = [(stream, plain(json.loads(data))) for stream, data in connection.execute(rows).fetchall()]
        connection.rollback()
    statements = script.format(again=AGAIN["PostgreSQL"]).split(";")
    possible = "; ".join(s for s in statements if not any(f" {name} " in s for name in OF_SEVERAL_TYPES))
    there = synced.postgres.execute(f"BEGIN; {possible}; SELECT row_to_json(x) FROM ({rows}) x; ROLLBACK")
    assert sorted(map(str, found)) == sorted(str((r["stream"], plain(json.loads(r["data"])))) for r in there)
    assert [r["status"] for stream, r in found if stream == "pages" and r["id"] == gone["id"]] == status


# ------------------------------------------------------------------ invalid records


def spoil(site: Server, *names: str) -> None:
    """Give the pages of a site these faults instead of others, each in a record of its own."""
    site.heal()
    body = each_in_a_record_of_its_own([ODD[name] for name in names])
    site.fail("/wiki/api/v2/pages", times=None, body=body)


def test_an_invalid_record_loses_no_other_record_in_duckdb(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(generate(pages=30, spaces=1, labels=5, body_bytes=50)) as site:
        spoil(site, *ODD)
        warehouse = Warehouse(site, "pages")
        for _ in range(2):
            assert warehouse.sync().statuses == {"pages": "COMPLETE"}
            assert warehouse.rows("SELECT count(*), count(DISTINCT id) FROM pages") == [(30, 30)]
            lost = (
                "SELECT count(*) FROM pages WHERE updatedAt IS NULL AND (version ->> 'createdAt') IS NOT NULL"
            )
            assert warehouse.rows(lost) == [(6,)]
            halved = "SELECT count(*) FROM pages WHERE title = 'an escaped half \ufffd of a pair'"
            assert warehouse.rows(halved) == [(1,)]
    printed = capsys.readouterr().out
    assert "pages.updatedAt: values that are not TIMESTAMPTZ become null, such as " in printed
    assert f"pages.position: values that are not BIGINT become null, such as '{2**70}'" in printed
    assert "pages: 1 half surrogate pairs become U+FFFD" in printed


def test_duckdb_keeps_the_last_record_of_each_key(tmp_path: Path) -> None:
    pages = [{"id": str(n % 3), "title": str(n), "updatedAt": "2026-01-01T00:00:00Z"} for n in range(9)]
    stream = discovered("pages")
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps(page) + "\n" for page in pages))
    with duckdb.connect() as connection:
        load.load(connection, stream, lines, whole=False)
        assert connection.execute("SELECT id, title FROM pages ORDER BY id").fetchall() == [
            *(("0", "6"), ("1", "7"), ("2", "8"))
        ]


def test_a_stream_that_failed_loses_no_row_in_duckdb(server: Server) -> None:
    warehouse = Warehouse(server, "labels", "space")
    first = warehouse.sync()
    server.deny("/wiki/api/v2/labels")
    assert warehouse.sync().statuses == {"labels": "INCOMPLETE", "space": "COMPLETE"}
    assert warehouse.rows("SELECT count(*) FROM labels") == [(len(first.records["labels"]),)]
    kept = warehouse.rows("SELECT stream, status FROM _syncs ORDER BY stream")
    assert kept == [("labels", "INCOMPLETE"), ("space", "COMPLETE")]


def test_a_row_that_a_failed_sync_did_not_read_again_has_no_time_in_duckdb() -> None:
    with Server(generate(pages=4, spaces=2, body_bytes=50)) as site:
        warehouse = Warehouse(site, "space_permissions", "pages")
        site.site.collections["space_permissions"] = [
            {"id": str(n), "principal": {}, "operation": {}, "_spaceId": str(1000 + n)} for n in range(2)
        ]

        def times() -> dict[str, datetime]:
            warehouse.sync()
            return dict(
                warehouse.rows(
                    "SELECT spaceId, _airbyte_extracted_at FROM space_permissions UNION ALL "
                    "SELECT 'pages', min(_airbyte_extracted_at) FROM pages"
                )
            )

        began = datetime.now(timezone.utc)
        first = times()
        assert all(began <= time <= datetime.now(timezone.utc) for time in first.values())
        site.deny(r"/spaces/1001/permissions")
        second = times()
        assert second["1001"] is None
        assert second["pages"] is not None  # a sync of changes does not read every page again
        site.heal()
        assert all(time > began for time in times().values())


def test_all_streams_of_a_sync_have_one_time_and_full_reads_are_counted_in_duckdb() -> None:
    with Server(generate(pages=6, spaces=2, body_bytes=50)) as site:
        warehouse = Warehouse(site, "pages", "space")

        def syncs(*, full: bool = False) -> dict[str, list[datetime]]:
            warehouse.sync(full=full)
            rows = warehouse.rows("SELECT stream, finished, full_read, full_before FROM _syncs")
            return {stream: times for stream, *times in rows}

        began = datetime.now(timezone.utc)
        first = syncs()
        assert first["pages"] == first["space"]
        finished, full, before = first["pages"]
        assert began <= full < finished
        assert before is None
        assert syncs()["pages"][1:] == [full, None]  # of changes
        again, earlier = syncs(full=True)["pages"][1:]
        assert (again > finished, earlier) == (True, full)
        site.deny("/wiki/api/v2/pages")
        assert syncs(full=True)["pages"][1:] == [again, earlier]


def test_a_new_field_becomes_a_column_in_duckdb(tmp_path: Path) -> None:
    stream, lines = discovered("labels"), tmp_path / "lines.jsonl"
    newer = {
        **stream,
        "json_schema": {"properties": {**stream["json_schema"]["properties"], "since": {"type": "string"}}},
    }
    with duckdb.connect() as connection:
        for known, record in (
            (stream, {"id": "1", "name": "a"}),
            (newer, {"id": "2", "name": "b", "since": "now"}),
        ):
            lines.write_text(json.dumps(record))
            load.load(connection, known, lines, whole=False)
        rows = connection.execute("SELECT id, name, since FROM labels ORDER BY id").fetchall()
    assert rows == [("1", "a", None), ("2", "b", "now")]


# ------------------------------------------------------------------ PyAirbyte, PostgreSQL and these records


@dataclass
class Odd:
    """What one PyAirbyte process makes of a site with faults.

    Attributes:
        left: How many pages the site has after the reads without our settings; two were purged between them.
        plain: How many rows `page_index` has then, and how many parents that became decimal numbers.
        reads: How many reads of invalid records ended, with our settings.
        rows: How many rows `pages` has then, and how many ids.
        code: The exit code after a record that PostgreSQL refuses.
        log: The end of its log.
    """

    left: int
    plain: list[str]
    reads: int
    rows: list[str]
    code: int
    log: str


@pytest.fixture(scope="module")
def odd(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Odd:
    postgres.execute("CREATE DATABASE odd")
    database, config = replace(postgres, name="odd"), tmp_path_factory.mktemp("odd") / "config.json"
    with Server(generate(pages=32, spaces=1, labels=5, body_bytes=50)) as site:
        config.write_text(json.dumps(config_for(site)))
        with into_postgres(database, config) as airbyte:
            for page in [page["id"] for page in site.site.records("pages")][-2:]:
                read(airbyte, "page_index")
                site.site.purge_page(page)
            decimal = "count(*) FILTER (WHERE parentid LIKE '%.0')"
            plain = database.execute(f"SELECT count(*) || ' ' || {decimal} FROM page_index")
            left, before = len(site.site.records("pages")), len(airbyte.counts)
            airbyte.settle()
            spoil(site, *(name for name in ODD if name not in REFUSED))
            for _ in range(2):
                read(airbyte, "pages")
            rows = database.execute("SELECT count(*) || ' ' || count(DISTINCT id) FROM pages")
            spoil(site, "odd text")
            airbyte.begin(["page_index"])  # which is read in full
            code, log = airbyte.end()
    return Odd(left, plain, len(airbyte.counts) - before, rows, code, log)


def test_without_our_settings_pyairbyte_writes_wrong_rows_to_postgres(odd: Odd) -> None:
    """By default, PyAirbyte guesses types from values, and keeps old rows of full-refresh streams."""
    rows, decimal = map(int, odd.plain[0].split())
    assert rows == odd.left + 2
    assert decimal


def test_postgres_has_each_invalid_record_once_except_those_that_the_parser_of_pyairbyte_refuses(
    odd: Odd,
) -> None:
    assert odd.reads == 2
    assert odd.rows == [f"{odd.left - len(DROPPED)} {odd.left - len(DROPPED)}"]


def test_a_record_that_postgres_refuses_fails_the_read(odd: Odd) -> None:
    assert odd.code != 0
    assert "cannot contain NUL" in odd.log
