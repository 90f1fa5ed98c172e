"""The one file runs elsewhere: in Airbyte's declarative runner and behind the Connector Builder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fake_confluence import Server, company
from source_confluence.source import MANIFEST
from unit_tests.conftest import config_for, configured, connector

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first five, and one of each way to ask for more: spaces grouped, per record, with two parents, by a
# field of the parent, and through the search.
READ = [
    *("audit", "blog_posts", "group", "pages", "space"),
    *("content_templates", "group_members", "page_labels", "page_versions", "tasks", "tree_items"),
]


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    with Server(company()) as running:
        yield running


@pytest.fixture(scope="module")
def config(site: Server) -> dict[str, Any]:
    # The Builder reads five partitions in a test, and those of the audit log are years.
    return config_for(site, start_date="2023-01-01T00:00:00Z")


# ------------------------------------------------------------------ source-declarative-manifest


@pytest.fixture(scope="module")
def alone(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Read with Airbyte's runner and nothing of this project but a copy of the manifest."""
    directory = tmp_path_factory.mktemp("alone")
    shutil.copy(MANIFEST, directory)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "catalog.json").write_text(json.dumps({"streams": [configured(name) for name in READ]}))
    command = str(Path(sys.executable).with_name("source-declarative-manifest"))
    args = ["--manifest-path", "manifest.yaml", "--config", "config.json", "--catalog", "catalog.json"]
    ran = subprocess.run([command, "read", *args], cwd=directory, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr
    messages = [json.loads(line) for line in ran.stdout.splitlines()]
    return in_order([m["record"] for m in messages if m["type"] == "RECORD"])


@pytest.fixture(scope="module")
def packaged(config: dict[str, Any]) -> dict[str, list[str]]:
    output = connector("read", config, select=READ)
    assert output.exit_code == 0, output.errors
    return in_order([m["record"] for m in output.messages if m["type"] == "RECORD"])


def in_order(records: list[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in READ}
    for record in records:
        found[record["stream"]].append(json.dumps(record["data"], sort_keys=True))
    return {name: sorted(lines) for name, lines in found.items()}


@pytest.mark.parametrize("name", READ)
def test_the_manifest_alone_reads_the_same_records(
    alone: dict[str, list[str]], packaged: dict[str, list[str]], name: str
) -> None:
    assert packaged[name]
    assert alone[name] == packaged[name]
