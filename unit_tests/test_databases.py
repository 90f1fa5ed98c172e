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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def into_postgres(server: Postgres, config: Path, *how: str) -> PyAirbyte:
    return PyAirbyte(config, CONNECTOR, f"{server.port}:{server.name}", *how)


def read_into_postgres(server: Postgres, config: Path, *reads: list[str]) -> list[int]:
    """Read streams into PostgreSQL, once or more often, and return the number of records of each read."""
    with into_postgres(server, config) as airbyte:
        for streams in reads:
            airbyte.begin(streams)
            airbyte.finish()
        code, log = airbyte.end()
        assert code == 0, log
        return airbyte.counts


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
        with into_postgres(postgres, config) as airbyte:
            for _ in range(2):
                airbyte.begin(IN_POSTGRES)
                read = load.sync(config, found.duck)
                assert {stream.status for stream in read.values()} == {"COMPLETE"}
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
        postgres.execute(RECIPES["airbyte_syncs"].query)
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


@pytest.fixture
def empty(postgres: Postgres) -> Postgres:
    """Return an empty database."""
    postgres.execute("DROP DATABASE IF EXISTS odd")
    postgres.execute("CREATE DATABASE odd")
    return replace(postgres, name="odd")


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return a function that serves invalid records and returns the configuration to read them."""
    with Server(generate(pages=30, spaces=1, labels=5, body_bytes=50)) as site:

        def serve(*names: str) -> Path:
            site.fail(
                "/wiki/api/v2/pages",
                times=None,
                body=each_in_a_record_of_its_own([ODD[name] for name in names]),
            )
            (tmp_path / "config.json").write_text(json.dumps(config_for(site)))
            return tmp_path / "config.json"

        yield serve


def test_an_invalid_record_loses_no_other_record_in_duckdb(
    hostile: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = hostile(*ODD)
    for _ in range(2):
        read = load.sync(config, tmp_path / "odd.duckdb", ["pages"])
        assert read["pages"].status == "COMPLETE"
        with duckdb.connect(str(tmp_path / "odd.duckdb")) as connection:
            assert connection.execute("SELECT count(*), count(DISTINCT id) FROM pages").fetchall() == [
                (30, 30)
            ]
            lost = (
                "SELECT count(*) FROM pages WHERE updatedAt IS NULL AND (version ->> 'createdAt') IS NOT NULL"
            )
            assert connection.execute(lost).fetchall() == [(6,)]
            halved = "SELECT count(*) FROM pages WHERE title = 'an escaped half \ufffd of a pair'"
            assert connection.execute(halved).fetchall() == [(1,)]
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


def test_a_stream_that_failed_loses_no_row_in_duckdb(tmp_path: Path) -> None:
    with Server(company(small=True)) as site:
        config, database = tmp_path / "config.json", tmp_path / "confluence.duckdb"
        config.write_text(json.dumps(config_for(site)))
        first = load.sync(config, database, ["labels", "space"])
        site.deny("/wiki/api/v2/labels")
        second = load.sync(config, database, ["labels", "space"])
    assert {name: stream.status for name, stream in second.items()} == {
        "labels": "INCOMPLETE",
        "space": "COMPLETE",
    }
    with duckdb.connect(str(database)) as connection:
        assert connection.execute("SELECT count(*) FROM labels").fetchall() == [(first["labels"].records,)]
        kept = connection.execute("SELECT stream, status FROM _syncs ORDER BY stream").fetchall()
        assert kept == [("labels", "INCOMPLETE"), ("space", "COMPLETE")]


def test_a_row_that_a_failed_sync_did_not_read_again_has_no_time_in_duckdb(tmp_path: Path) -> None:
    with Server(generate(pages=4, spaces=2, body_bytes=50)) as site:
        config, database = tmp_path / "config.json", tmp_path / "confluence.duckdb"
        config.write_text(json.dumps(config_for(site)))
        site.site.collections["space_permissions"] = [
            {"id": str(n), "principal": {}, "operation": {}, "_spaceId": str(1000 + n)} for n in range(2)
        ]

        def times() -> dict[str, datetime]:
            load.sync(config, database, ["space_permissions", "pages"])
            with duckdb.connect(str(database)) as connection:
                rows = connection.execute(
                    "SELECT spaceId, _airbyte_extracted_at FROM space_permissions UNION ALL "
                    "SELECT 'pages', min(_airbyte_extracted_at) FROM pages"
                )
                return dict(rows.fetchall())

        began = datetime.now(timezone.utc)
        first = times()
        assert all(began <= time <= datetime.now(timezone.utc) for time in first.values())
        site.deny(r"/spaces/1001/permissions")
        second = times()
        assert second["1001"] is None
        assert second["pages"] is not None  # a sync of changes does not read every page again
        site.heal()
        assert all(time > began for time in times().values())


def test_all_streams_of_a_sync_have_one_time_and_full_reads_are_counted_in_duckdb(tmp_path: Path) -> None:
    config, database = tmp_path / "config.json", tmp_path / "confluence.duckdb"
    names = ["pages", "space"]

    def syncs() -> dict[str, list[datetime]]:
        with duckdb.connect(str(database)) as connection:
            rows = connection.execute(
                "SELECT stream, finished, full_read, full_before FROM _syncs"
            ).fetchall()
        return {stream: times for stream, *times in rows}

    with Server(generate(pages=6, spaces=2, body_bytes=50)) as site:
        config.write_text(json.dumps(config_for(site)))
        began = datetime.now(timezone.utc)
        load.sync(config, database, names)
        first = syncs()
        assert first["pages"] == first["space"]
        finished, full, before = first["pages"]
        assert began <= full < finished
        assert before is None
        load.sync(config, database, names)  # of changes
        assert syncs()["pages"][1:] == [full, None]
        load.sync(config, database, names, full=True)
        again, earlier = syncs()["pages"][1:]
        assert (again > finished, earlier) == (True, full)
        site.deny("/wiki/api/v2/pages")
        load.sync(config, database, names, full=True)
    assert syncs()["pages"][1:] == [again, earlier]


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


def test_postgres_has_each_invalid_record_once_after_two_syncs(
    empty: Postgres, hostile: Callable[..., Path]
) -> None:
    config = hostile(*(name for name in ODD if name not in REFUSED and name not in DROPPED))
    assert len(read_into_postgres(empty, config, ["pages"], ["pages"])) == 2
    assert empty.execute("SELECT count(*) || ' ' || count(DISTINCT id) FROM pages") == ["30 30"]


def test_without_our_settings_pyairbyte_writes_wrong_rows_to_postgres(
    empty: Postgres, tmp_path: Path
) -> None:
    """By default, PyAirbyte guesses types from values, and keeps old rows of full-refresh streams."""
    with Server(company(small=True)) as site:
        (tmp_path / "config.json").write_text(json.dumps(config_for(site)))
        with into_postgres(empty, tmp_path / "config.json", "plainly") as airbyte:
            for page in [page["id"] for page in site.site.records("pages")][-2:]:
                airbyte.begin(["page_index"])
                airbyte.finish()
                site.site.purge_page(page)
            code, log = airbyte.end()
            assert code == 0, log
    assert empty.execute("SELECT count(*) FROM page_index WHERE parentid LIKE '%.0'") != ["0"]
    ((rows,), left) = empty.execute("SELECT count(*) FROM page_index"), len(site.site.records("pages"))
    assert int(rows) == left + 2


def test_a_record_that_pyairbyte_refuses_fails_the_read(
    empty: Postgres, hostile: Callable[..., Path]
) -> None:
    with into_postgres(empty, hostile("odd text")) as airbyte:
        airbyte.begin(["pages"])
        code, log = airbyte.end()
    assert code != 0
    assert "cannot contain NUL" in log


def test_pyairbyte_drops_records_that_its_json_parser_refuses(
    empty: Postgres, hostile: Callable[..., Path]
) -> None:
    read_into_postgres(empty, hostile(*DROPPED), ["pages"])
    assert empty.execute("SELECT count(*) FROM pages") == [str(30 - len(DROPPED))]
