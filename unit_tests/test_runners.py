"""All runners read the same records: the package, Airbyte's declarative runner, and PyAirbyte.

Each reads all streams, or PyAirbyte some of them; the site changes; each reads the streams with a cursor again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from common.connector import CONNECTOR, ROOT, STREAMS, Output, config_for, configured, connector, key_of
from fake_confluence import Server, company
from source_confluence.source import MANIFEST
from unit_tests.runners import ALONE, OF_SEVERAL_TYPES, PyAirbyte, pyairbyte, with_the_declarative_runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAY = 86400.0
WITH_CURSOR = [name for name, stream in STREAMS.items() if stream.cursor]
# PyAirbyte reads these with the manifest into DuckDB: each type of a field, a key of four fields, SQL's "group".
# It has the CDK of the declarative runner, which reads all. With the package it reads some, and both again after the
# changes; in `test_databases.py` it reads all into PostgreSQL, twice.
INTO_DUCKDB = [*WITH_CURSOR, *OF_SEVERAL_TYPES, "classification_levels", "space_role_assignments", "group"]
SOME = ["pages", "blog_posts", "page_versions", "attachments", "audit"]
EDITED = "Edited since"
PACKAGE, MANIFEST_ALONE = "source-confluence", "source-declarative-manifest"
PYAIRBYTE_PACKAGE, PYAIRBYTE_MANIFEST = "PyAirbyte, local_executable", "PyAirbyte, source_manifest"

Rows = dict[str, dict[tuple[Any, ...], dict[str, Any]]]


class ProtocolRunner:
    """A runner that prints Airbyte messages; like a destination, this keeps the last record of each key.

    Attributes:
        counts: The number of records of each read.
    """

    def __init__(self, read: Callable[..., Output]) -> None:
        self.read = read
        self.state: list[dict[str, Any]] = []
        self.kept: Rows = {}
        self.counts: list[int] = []

    def begin(self, streams: list[str]) -> None:
        self.streams = [configured(name, incremental=True) for name in streams]

    def finish(self) -> None:
        output = self.read(catalog={"streams": self.streams}, state=self.state)
        assert output.exit_code == 0, output.errors
        self.state = output.state
        self.counts.append(sum(map(len, output.records.values())))
        new = {
            name: {key_of(name, record): record for record in records}
            for name, records in output.records.items()
        }
        self.kept = {name: {**self.kept.get(name, {}), **new.get(name, {})} for name in STREAMS}

    def rows(self) -> Rows:
        return self.kept


class PyAirbyteRunner(PyAirbyte):
    """PyAirbyte with a DuckDB file."""

    def __init__(self, source: Path, directory: Path, streams: list[str]) -> None:
        self.database, self.streams = directory / f"{source.name}.duckdb", streams
        super().__init__(directory / "config.json", source, str(self.database))

    def begin(self, streams: list[str]) -> None:
        super().begin(self.streams if len(streams) == len(STREAMS) else SOME)

    def rows(self) -> Rows:
        copy = shutil.copy(self.database, self.database.with_suffix(".copy"))  # the process locks the file
        with duckdb.connect(str(copy), read_only=True) as connection:
            return {name: rows_of(connection, name) for name in self.streams}


def rows_of(connection: duckdb.DuckDBPyConnection, name: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the rows of a table by key, without PyAirbyte's own columns."""
    found = connection.table(f"main.{name}").select("COLUMNS(c -> NOT c.starts_with('_airbyte'))")
    columns = [(column[0], str(column[1])) for column in found.description]
    rows = [
        {
            column: json.loads(value) if kind == "JSON" and value is not None else value
            for (column, kind), value in zip(columns, row, strict=True)
        }
        for row in found.fetchall()
    ]
    return {tuple(row[field.lower()] for field in STREAMS[name].key): row for row in rows}


def landed(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as PyAirbyte writes it: declared fields, with lower-case names."""
    return {
        field.lower(): landed_value(schema, record.get(field))
        for field, schema in STREAMS[name].schema["properties"].items()
    }


def landed_value(schema: dict[str, Any], value: Any) -> Any:
    if value is not None and schema.get("format") == "date-time":
        timestamp = datetime.fromisoformat(value.replace("Z", "+00:00"))  # Python 3.10 does not parse Z
        return timestamp.astimezone(timezone.utc).replace(tzinfo=None)
    if {"string", "object"} <= {*schema["type"]} and not isinstance(value, str | None):
        return json.dumps(value, separators=(",", ":"))  # the column of a value of any type is a text column
    return value


# ------------------------------------------------------------------ the runners compared


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    with Server(company(small=True)) as running:
        yield running


@pytest.fixture(scope="module")
def directory(site: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with only the manifest and a configuration."""
    directory = tmp_path_factory.mktemp("elsewhere")
    types = sorted({record["type"] for record in site.site.records("custom_content")})
    (directory / "config.json").write_text(json.dumps(config_for(site, custom_content_types=types)))
    shutil.copy(MANIFEST, directory)
    return directory


@pytest.fixture(scope="module")
def runners(directory: Path) -> Iterator[dict[str, ProtocolRunner | PyAirbyteRunner]]:
    config = json.loads((directory / "config.json").read_text())
    with (
        PyAirbyteRunner(CONNECTOR, directory, SOME) as package,
        PyAirbyteRunner(directory / "manifest.yaml", directory, INTO_DUCKDB) as manifest,
    ):
        yield {
            PACKAGE: ProtocolRunner(partial(connector, "read", config)),
            MANIFEST_ALONE: ProtocolRunner(partial(with_the_declarative_runner, directory)),
            PYAIRBYTE_PACKAGE: package,
            PYAIRBYTE_MANIFEST: manifest,
        }


@pytest.fixture(scope="module")
def copies(site: Server, runners: dict[str, ProtocolRunner | PyAirbyteRunner]) -> dict[str, list[Rows]]:
    """Read with all runners, change the site, and read again."""
    copies: dict[str, list[Rows]] = {name: [] for name in runners}
    for streams in (list(STREAMS), WITH_CURSOR):
        for runner in runners.values():
            runner.begin(streams)
        for name, runner in runners.items():
            runner.finish()
            copies[name].append(runner.rows())
        site.site.tick(DAY)
        site.site.edit_page(site.site.records("pages")[0]["id"], title=EDITED)
        site.site.edit_blog_post(site.site.records("blog_posts")[0]["id"], title=EDITED)
        site.site.add_page("New", space_id=site.site.records("spaces")[0]["id"])
    return copies


@pytest.mark.parametrize(
    ("runner", "name"),
    [
        *product([MANIFEST_ALONE], STREAMS),
        *product([PYAIRBYTE_MANIFEST], INTO_DUCKDB),
        *product([PYAIRBYTE_PACKAGE], SOME),
    ],
)
def test_a_runner_reads_the_same_records_as_the_package(
    copies: dict[str, list[Rows]], runner: str, name: str
) -> None:
    assert copies[PACKAGE][0][name]
    assert copies[runner][0][name] == expected(copies[PACKAGE][0], runner, name)


@pytest.mark.parametrize(
    ("runner", "name"),
    [*product([MANIFEST_ALONE], WITH_CURSOR), *product([PYAIRBYTE_PACKAGE, PYAIRBYTE_MANIFEST], SOME)],
)
def test_a_runner_reads_the_same_changes_as_the_package(
    copies: dict[str, list[Rows]], runner: str, name: str
) -> None:
    assert copies[runner][1][name] == expected(copies[PACKAGE][1], runner, name)


def expected(read: Rows, runner: str, name: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    form = partial(landed, name) if runner in (PYAIRBYTE_PACKAGE, PYAIRBYTE_MANIFEST) else dict
    return {key: form(record) for key, record in read[name].items()}


def test_the_package_reads_the_changes(copies: dict[str, list[Rows]]) -> None:
    before, after = copies[PACKAGE]
    for name in ("pages", "blog_posts"):
        assert EDITED in {record["title"] for record in after[name].values()}
        assert EDITED not in {record["title"] for record in before[name].values()}
    assert len(after["pages"]) == len(before["pages"]) + 1


@pytest.mark.parametrize("runner", [PACKAGE, MANIFEST_ALONE, PYAIRBYTE_PACKAGE])
@pytest.mark.usefixtures("copies")
def test_a_second_read_reads_only_changes(
    runners: dict[str, ProtocolRunner | PyAirbyteRunner], runner: str
) -> None:
    first, second = runners[runner].counts
    assert 0 < second < first / 10


@pytest.mark.usefixtures("copies")
def test_pyairbyte_with_the_manifest_reads_everything_again(
    runners: dict[str, ProtocolRunner | PyAirbyteRunner], copies: dict[str, list[Rows]]
) -> None:
    # PyAirbyte does not pass its state to the manifest, so each read is a full read; the tables are still correct.
    everything = sum(len(copies[PYAIRBYTE_MANIFEST][1][name]) for name in SOME)
    assert runners[PYAIRBYTE_MANIFEST].counts[1] == everything


def test_pyairbyte_has_the_cdk_of_the_declarative_runner() -> None:
    pins = (ROOT / "requirements" / "pyairbyte.txt").read_text(encoding="utf-8")
    assert f"\nairbyte-cdk=={version('airbyte-cdk')}\n" in pins


def test_pyairbyte_validates_the_connector(directory: Path) -> None:
    command = [str(pyairbyte("pyab")), "validate", f"--connector={CONNECTOR}", "--config=config.json"]
    ran = subprocess.run(command, cwd=directory, env=ALONE, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Connection check succeeded" in ran.stderr
