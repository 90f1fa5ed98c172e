"""Try the connector on your own site: `make live`.

It reads the configuration in secrets/config.json (or the file that CONFLUENCE_CONFIG names), checks the
connection, and takes the first records of every stream. What this account or site does not have is not an
error: the summary names each such stream and why it could not be verified. It only reads, and stops each
stream after some records.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from common.connector import ROOT, STREAMS, configured, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = Path(os.environ.get("CONFLUENCE_CONFIG", ROOT / "secrets" / "config.json"))
CONNECTOR = str(Path(sys.executable).with_name("source-confluence"))
ENOUGH_RECORDS = 50
PATIENCE_SECONDS = 120.0
MOST_SPACES = 10

pytestmark = pytest.mark.skipif(not CONFIG.exists(), reason=f"there is no {CONFIG}: see CONTRIBUTING.md")


def messages(command: str, *arguments: str, config: Path = CONFIG) -> Iterator[dict[str, Any]]:
    """Run the connector and yield its messages, until the caller has enough or patience ends."""
    ordered = [CONNECTOR, command, "--config", str(config), *arguments]
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
def test_the_first_records_of_a_stream_are_as_declared(name: str, tmp_path: Path) -> None:
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
    valid = Draft7Validator(STREAMS[name].schema)
    assert [f"{e.json_path}: {e.message}" for record in records for e in valid.iter_errors(record)] == []
    keys = [key_of(name, record) for record in records]
    assert (None in {value for key in keys for value in key}, len(set(keys))) == (False, len(keys))


@pytest.mark.parametrize("name", ["pages", "tasks"])
def test_two_spaces_asked_for_together_give_what_each_gives(name: str, tmp_path: Path) -> None:
    """Nothing else shows it when a site responds only for the first of several spaces."""

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
