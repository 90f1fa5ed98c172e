"""Try the connector on your own site: `make live`.

It uses the configuration in secrets/config.json (or the file in CONFLUENCE_CONFIG), checks the connection, and reads
the first records of every stream. A stream that this account or site does not have is not an error: the summary names
each such stream and the reason, and the fields in which records and schemas differ. It also asks Confluence whether
some people may see some pages, and compares the answers with the recipe who_can_see. It only reads, and stops each
stream after some records.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from itertools import islice
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import requests
import yaml
from airbyte_cdk.sources.declarative.models.declarative_component_schema import Spec
from airbyte_cdk.sources.declarative.parsers.manifest_component_transformer import (
    ManifestComponentTransformer,
)
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory
from jsonschema import Draft7Validator

from common.connector import CONNECTOR, ROOT, STREAMS, configured, key_of
from common.fields import declared, filled, undeclared
from source_confluence.source import MANIFEST
from tools.load import sync
from tools.recipes import create_views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONFIG = Path(os.environ.get("CONFLUENCE_CONFIG", ROOT / "secrets" / "config.json"))
ENOUGH_RECORDS = 50
PATIENCE_SECONDS = 120.0
MOST_SPACES = 10
# For who may see a page. Without the streams that send a request for each page.
SEEN = [
    *("space", "space_permissions", "space_roles", "space_role_assignments", "page_index", "blog_post_index"),
    *("tree_items", "content_restrictions", "users", "group_members"),
]

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


def test_confluence_lets_people_see_what_the_recipe_shows(tmp_path: Path, agreement: list[str]) -> None:
    """Ask Confluence for a sample of people and pages; its check of permissions changes nothing."""
    config = json.loads(CONFIG.read_text(encoding="utf-8"))
    if not (config.get("credentials") or config).get("api_token"):
        pytest.skip("Confluence is asked with an API token only")
    (tmp_path / "catalog.json").write_text(json.dumps({"streams": [configured("space")]}))
    spaces = messages("read", "--catalog", str(tmp_path / "catalog.json"))
    keys = [m["record"]["data"]["key"] for m in spaces if m["type"] == "RECORD"]
    chosen = {**config, "space_keys": random.sample(keys, min(3, len(keys)))}
    (tmp_path / "config.json").write_text(json.dumps(chosen))
    sync(tmp_path / "config.json", tmp_path / "confluence.duckdb", SEEN)
    with duckdb.connect(str(tmp_path / "confluence.duckdb")) as connection:
        create_views(connection)
        pairs = connection.execute(PAIRS).fetchall()
    ask = session(config)
    permitted = [(pair, ask(*pair[:2])) for pair in pairs]
    known = [(pair, answer) for pair, answer in permitted if answer is not None]
    if not known:
        pytest.skip("Confluence answers for no page")
    refused = [pair for pair, answer in known if pair[2] and not answer]
    missing = [why or "no reason known" for (*_, shown, why), answer in known if answer and not shown]
    agreed = len(known) - len(refused) - len(missing)
    agreement.append(f"{agreed} of {len(known)} pairs of a person and a page agree with Confluence")
    agreement += [f"{missing.count(why)} are not shown: {why}" for why in sorted(set(missing))]
    assert refused == [], "shown, and Confluence refuses them"


# Restricted pages and posts, others, and people, with whether the recipe shows the page, and why not.
PAIRS = """
    WITH content AS (
      SELECT id, row_number() OVER (PARTITION BY restricted ORDER BY random()) AS n FROM reader_lists
      WHERE status = 'current' AND type IN ('page', 'blogpost')
    ),
    people AS (SELECT accountId FROM users WHERE accountType = 'atlassian' ORDER BY random() LIMIT 6)
    SELECT c.id, p.accountId, w.id IS NOT NULL, u.why
    FROM content c CROSS JOIN people p
    LEFT JOIN who_can_see w ON w.id = c.id AND w.accountId = p.accountId
    LEFT JOIN unknown_readers u ON u.id = c.id
    WHERE c.n <= 5
"""


def session(config: dict[str, Any]) -> Callable[[str, str], bool | None]:
    """Return a function that asks Confluence whether a person may read a content; None if it does not say."""
    declared_spec = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["spec"]
    declared_spec = ManifestComponentTransformer().propagate_types_and_parameters("", declared_spec, {})
    normal = json.loads(json.dumps(config))
    ModelToComponentFactory().create_component(Spec, declared_spec, {}).transform_config(normal)
    credentials = normal.get("credentials") or normal
    client = requests.Session()
    client.auth = (credentials["email"], credentials["api_token"])

    def ask(content: str, account: str) -> bool | None:
        asked = {"subject": {"type": "user", "identifier": account}, "operation": "read"}
        url = f"{normal['_v1']}/content/{content}/permission/check"
        reply = client.post(url, json=asked, timeout=PATIENCE_SECONDS)
        if reply.status_code in (401, 403):
            pytest.skip(
                f"Confluence refuses to check permissions, which needs an administrator: {reply.text[:200]}"
            )
        return bool(reply.json()["hasPermission"]) if reply.ok else None

    return ask
