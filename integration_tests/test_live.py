"""Try the connector on your own site: `make live`.

It uses the configuration in secrets/config.json (or the file in CONFLUENCE_CONFIG), checks the connection, and reads
the first records of every stream. A stream that this account or site does not have is not an error: the summary names
each such stream and the reason, and the fields in which records and schemas differ. It only reads, and stops each
stream after some records.
"""

from __future__ import annotations

import json
import os
import subprocess
from itertools import islice
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from common.connector import CONNECTOR, ROOT, STREAMS, configured, key_of
from common.fields import declared, filled, undeclared

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = Path(os.environ.get("CONFLUENCE_CONFIG", ROOT / "secrets" / "config.json"))
ENOUGH_RECORDS = 50
PATIENCE_SECONDS = 120.0
MOST_SPACES = 10

pytestmark = pytest.mark.skipif(not CONFIG.exists(), reason=f"there is no {CONFIG}: see CONTRIBUTING.md")


def messages(command: str, *arguments: str, config: Path = CONFIG) -> Iterator[dict[str, Any]]:
    """Run the connector and yield its messages, until the caller stops or the time limit is reached."""
    ordered = [str(CONNECTOR), command, "--config", str(config), *arguments]
    with subprocess.Popen(ordered, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        patience = Timer(PATIENCE_SECONDS, process.kill)
        patience.start()
        try:
            yield from (json.loads(line) for line in process.stdout if line.endswith(b"\n"))
        finally:
            patience.cancel()
            process.kill()


def test_the_connection_works() -> None:
    (status,) = [m["connectionStatus"] for m in messages("check") if m["type"] == "CONNECTION_STATUS"]
    assert status["status"] == "SUCCEEDED", status["message"]


def test_every_stream_is_discovered() -> None:
    (catalog,) = [m["catalog"] for m in messages("discover") if m["type"] == "CATALOG"]
    assert {stream["name"] for stream in catalog["streams"]} == set(STREAMS)


@pytest.mark.parametrize("name", list(STREAMS))
def test_the_first_records_of_a_stream_match_its_schema(name: str, tmp_path: Path, fields: list[str]) -> None:
    catalog = tmp_path / "catalog.json"
    catalog.write_text(json.dumps({"streams": [configured(name, incremental=True)]}))
    seen, errors = [], []

    def found() -> Iterator[dict[str, Any]]:
        for message in messages("read", "--catalog", str(catalog)):
            seen.append(message["type"])
            if message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
                errors.append(message["trace"]["error"])
            if message["type"] == "RECORD":
                yield message["record"]["data"]

    records = list(islice(found(), ENOUGH_RECORDS))
    broken = [error["message"] for error in errors if error["failure_type"] != "config_error"]
    assert broken == []
    if not records:
        ended = "STATE" in seen
        why = (
            errors[0]["message"] if errors else "no records" if ended else f"none in {PATIENCE_SECONDS:.0f} s"
        )
        pytest.skip(f"{name}: {why}")
    fields += differing_fields(name, records)
    valid = Draft7Validator(STREAMS[name].schema)
    assert [f"{e.json_path}: {e.message}" for record in records for e in valid.iter_errors(record)] == []
    keys = [key_of(name, record) for record in records]
    assert (None in {value for key in keys for value in key}, len(set(keys))) == (False, len(keys))


def differing_fields(name: str, records: list[dict[str, Any]]) -> Iterator[str]:
    """Name the fields that the schema does not declare, and the declared fields that no record has."""
    schema, config = STREAMS[name].schema, json.loads(CONFIG.read_text(encoding="utf-8"))
    formats = {"rendered_format": "view", "body_format": "storage"} | config
    body_format = formats["rendered_format" if name.startswith("rendered") else "body_format"]
    seen = {field for record in records for field in filled(record)}
    if others := sorted({field for record in records for field in undeclared(schema, record)}):
        yield f"{name}: no schema declares {', '.join(others)}"
    if missing := [field for field in declared(schema, body_format) if field not in seen]:
        yield f"{name}: null or absent in {len(records)} records: {', '.join(missing)}"


@pytest.mark.parametrize("name", ["pages", "tasks"])
def test_a_request_for_two_spaces_returns_the_records_of_both(name: str, tmp_path: Path) -> None:
    """Check that a site responds for all of several spaces; no other test shows that."""

    def read(stream: str, **changes: Any) -> dict[str, dict[str, Any]]:
        config, catalog = tmp_path / "config.json", tmp_path / "catalog.json"
        config.write_text(json.dumps({**json.loads(CONFIG.read_text()), "body_format": "none", **changes}))
        catalog.write_text(json.dumps({"streams": [configured(stream)]}))
        found = list(messages("read", "--catalog", str(catalog), config=config))
        statuses = [m["trace"].get("stream_status", {}).get("status") for m in found if m["type"] == "TRACE"]
        if "COMPLETE" not in statuses:
            pytest.skip(f"{stream} is not read within {PATIENCE_SECONDS:.0f} s")
        return {m["record"]["data"]["id"]: m["record"]["data"] for m in found if m["type"] == "RECORD"}

    keys = [space["key"] for space in read("space").values()][:MOST_SPACES]
    alone = {key: set(read(name, space_keys=[key])) for key in keys}
    first, second = sorted(alone, key=lambda key: len(alone[key]), reverse=True)[:2]
    if not alone[second]:
        pytest.skip(f"fewer than two of {len(keys)} spaces have {name}")
    assert set(read(name, space_keys=[first, second])) == alone[first] | alone[second]
