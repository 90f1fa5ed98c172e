"""A copy of the repository with streams added as CONTRIBUTING.md says passes the tests without new tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from common.connector import ROOT

LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", "__pycache__", "build", "demo", "secrets", ".hypothesis"
)


class NewStream(NamedTuple):
    """The texts of a new stream: for the manifest, the schema, the contract and the company."""

    manifest: str
    schema: str
    operation: str
    records: str


def documented() -> NewStream:
    """Return the example in CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = re.split("^## ", text, flags=re.MULTILINE)[2]
    assert section.startswith("Add a stream")
    blocks = re.findall(r"^   ```(?:yaml|json)\n(.+?)^   ```$", section, re.DOTALL | re.MULTILINE)
    return NewStream(*(re.sub("^   ", "", block, flags=re.MULTILINE) for block in blocks))


# A list below custom content, and an object that some spaces do not have.
ANSWERS = NewStream(
    manifest="""\
    custom_content_children:  # v2/api-group-children/#api-custom-content-id-children-get
      name: custom_content_children
      primary_key: [id]
      schema_loader: {type: InlineSchemaLoader, schema: "#/schemas/custom_content_children"}
      retriever:
        $ref: "#/definitions/v2_list"
        partition_router: "#/definitions/per_custom_content"
        requester:
          $ref: "#/definitions/child_request"
          url: "{{ config['_v2'] }}/custom-content/{{ stream_partition['customContentId'] }}/children"
          request_parameters:
            sort: id
      transformations: ["#/definitions/with_custom_content_id"]
""",
    schema="""{
  "type": "object",
  "description": "A piece of custom content inside another one.",
  "additionalProperties": true,
  "properties": {
    "id": {"type": "string", "description": "Unique id of the custom content."},
    "title": {"type": ["null", "string"], "description": "Title of the custom content."},
    "customContentId": {"type": ["null", "string"], "description": "Id of the custom content that holds it."}
  }
}""",
    operation="""\
  /wiki/api/v2/custom-content/{id}/children:
    summary: Get child custom content
    collection: custom_content_children
    where: {_customContentId: id}
    parent: {collection: custom_content}
    limit: {default: 25, max: 250, over: refuse}
    sort: {id: id}
    scopes: {granular: ["read:custom-content:confluence"]}
""",
    records="""
custom_content_children:
  below: custom_content
  copy: {_customContentId: id, _spaceId: spaceId}
  records: [{title: First answer}, {title: Second answer}]
""",
)
THEMES = NewStream(
    manifest="""\
    space_themes:  # v1/api-group-themes/#api-wiki-rest-api-space-spacekey-theme-get
      name: space_themes
      primary_key: [spaceId]
      schema_loader: {type: InlineSchemaLoader, schema: "#/schemas/space_themes"}
      retriever:
        $ref: "#/definitions/v2_object"
        partition_router: "#/definitions/per_space"
        requester:
          $ref: "#/definitions/optional_child_request"
          url: >-
            {{ config['_v1'] }}/space/{{ stream_slice.extra_fields['key'] | urlencode | replace('/', '%2F') }}/theme
      transformations: ["#/definitions/with_space_id"]
""",
    schema="""{
  "type": "object",
  "description": "The theme of a space that has one of its own.",
  "additionalProperties": true,
  "properties": {
    "themeKey": {"type": ["null", "string"], "description": "Key of the theme."},
    "name": {"type": ["null", "string"], "description": "Name of the theme."},
    "spaceId": {"type": "string", "description": "Id of the space."}
  }
}""",
    operation="""\
  /wiki/rest/api/space/{spaceKey}/theme:
    summary: Get space theme
    collection: space_themes
    paging: object
    where: {_spaceKey: spaceKey}
    parent: {collection: spaces, field: key}
    optional: true
    scopes: {classic: ["read:confluence-space.summary"], granular: ["read:space.setting:confluence"]}
""",
    records="""
space_themes:
  below: spaces
  every: 2
  copy: {_spaceKey: key, _spaceId: id}
  ids: false
  records: [{themeKey: com.norrvik.sea, name: Sea}]
""",
)


def insert(file: Path, after: str, text: str) -> None:
    """Insert lines after a line of a file."""
    whole = file.read_text(encoding="utf-8")
    assert whole.count(after) == 1
    file.write_text(whole.replace(after, after + text), encoding="utf-8")


def add(repository: Path, stream: NewStream) -> str:
    """Follow CONTRIBUTING.md, and return the name of the new stream."""
    name = stream.manifest.partition(":")[0].strip()
    insert(repository / "source_confluence" / "manifest.yaml", f"    # {64 * '-'} Spaces\n", stream.manifest)
    (repository / "source_confluence" / "schemas" / f"{name}.json").write_text(stream.schema)
    version = "v2" if "/api/v2/" in stream.operation else "v1"
    insert(repository / "fake_confluence" / "contract.yaml", f"\n{version}:\n", stream.operation)
    with (repository / "fake_confluence" / "data" / "records.yaml").open("a", encoding="utf-8") as file:
        file.write(stream.records)
    return name


def run(repository: Path, *module: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},  # otherwise the console script runs the original
        capture_output=True,
        check=False,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-2000:]
    return ran.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the repository, and add three streams of different kinds to the copy."""
    copy = tmp_path_factory.mktemp("new") / "source-confluence"
    shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND)
    (copy / "names").write_text(" or ".join(add(copy, stream) for stream in (documented(), ANSWERS, THEMES)))
    run(copy, "tools.derive")
    return copy


def test_the_suite_passes_for_streams_added_as_documented(repository: Path) -> None:
    names = (repository / "names").read_text()
    printed = run(repository, "pytest", "unit_tests/test_streams.py", "-k", names, "-p", "no:cacheprovider")
    assert len(re.findall(r"\.", printed.partition("[100%]")[0])) > 3 * 6


def test_make_golden_changes_no_other_stream(repository: Path) -> None:
    golden = Path("integration_tests") / "expected_records.jsonl"
    run(repository, "tools.golden")
    before = (ROOT / golden).read_text(encoding="utf-8").splitlines()
    after = (repository / golden).read_text(encoding="utf-8").splitlines()
    assert [line for line in after if line in before] == before
    assert len(after) == len(before) + 3
