"""The files around the connector say what is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from airbyte_connector_models.metadata.v0.connector_metadata_definition_v0 import (
    ConnectorMetadataDefinitionV0,
)
from jsonschema import Draft7Validator

from source_confluence.source import MANIFEST
from tools.derive import derived, stream_address
from tools.streams import handwritten
from unit_tests.conftest import ROOT, STREAMS, connector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METADATA: dict[str, Any] = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))
DOCUMENTS = [
    str(path.relative_to(ROOT)) for folder in (ROOT, ROOT / "docs") for path in sorted(folder.glob("*.md"))
]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    (message,) = [message for message in connector("spec").messages if message["type"] == "SPEC"]
    return dict(message["spec"])


# ------------------------------------------------------------------ versions and the registry's entry


def test_the_version_is_the_same_everywhere() -> None:
    (packaged,) = re.findall(r'^version = "(.+)"$', text_of("pyproject.toml"), re.MULTILINE)
    newest = re.findall(r"^## (\S+)", text_of("CHANGELOG.md"), re.MULTILINE)[0]
    assert METADATA["data"]["dockerImageTag"] == packaged == newest


def test_every_breaking_change_stands_in_the_changelog() -> None:
    headings = " ".join(re.findall(r"^## (.+)$", text_of("CHANGELOG.md"), re.MULTILINE))
    for version in METADATA["data"]["releases"]["breakingChanges"]:
        assert version in headings


def test_the_metadata_is_what_the_registry_takes() -> None:
    assert ConnectorMetadataDefinitionV0.model_validate(METADATA).data.name == "Confluence"


def test_the_metadata_names_only_streams_that_exist() -> None:
    named = set(METADATA["data"]["suggestedStreams"]["streams"])
    for change in METADATA["data"]["releases"]["breakingChanges"].values():
        for scope in change["scopedImpact"]:
            named |= set(scope["impactedScopes"])
    assert named <= set(STREAMS)


def test_the_metadata_and_the_spec_name_one_page(spec: dict[str, Any]) -> None:
    assert METADATA["data"]["documentationUrl"] == spec["documentationUrl"]


def test_the_icon_exists() -> None:
    assert text_of(METADATA["data"]["icon"]).lstrip().startswith("<svg")


# ------------------------------------------------------------------ the manifest


def test_the_manifest_uses_references_and_nothing_else_to_share() -> None:
    text = MANIFEST.read_text(encoding="utf-8")
    assert "$parameters" not in text
    anchored = [event for event in yaml.parse(text) if getattr(event, "anchor", None)]
    assert anchored == []


def test_what_people_write_of_the_manifest_is_short_enough_to_read() -> None:
    lines = handwritten().splitlines()
    assert 500 < len(lines) <= 830


def test_the_manifest_needs_no_python() -> None:
    types = {block["type"] for block in blocks(yaml.safe_load(MANIFEST.read_text(encoding="utf-8")))}
    assert "SimpleRetriever" in types
    assert {kind for kind in types if kind.startswith("Custom")} == set()


def blocks(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every component of a manifest."""
    if isinstance(node, dict):
        if isinstance(node.get("type"), str):
            yield node
        for value in node.values():
            yield from blocks(value)
    elif isinstance(node, list):
        for value in node:
            yield from blocks(value)


@pytest.mark.parametrize("name", list(STREAMS))
def test_a_stream_links_the_documentation_of_what_it_calls(name: str) -> None:
    operation = STREAMS[name].operations[0]
    path = operation.path.removeprefix("/wiki/api/v2").replace("{", "").replace("}", "").lower()
    (address,) = stream_address(name)
    version, group, anchor = re.fullmatch(
        r"https://.+/rest/(v[12])/api-group-([a-z-]+)/#(.+)", address
    ).groups()  # type: ignore[union-attr]
    assert (version, anchor) == (operation.api, f"api{path.replace('/', '-')}-get")
    assert group


@pytest.mark.parametrize("name", list(STREAMS))
def test_a_stream_has_a_schema_file_of_its_name(name: str) -> None:
    assert json.loads(text_of(f"source_confluence/schemas/{name}.json")) == STREAMS[name].schema


@pytest.mark.parametrize("name", list(STREAMS))
def test_every_field_but_keys_and_cursors_may_be_null(name: str) -> None:
    never = {*STREAMS[name].key, STREAMS[name].declared.get("incremental_sync", {}).get("cursor_field")}
    fields = STREAMS[name].schema["properties"].items()
    assert {field for field, said in fields if "null" not in said["type"]} == never - {None}


@pytest.mark.parametrize("name", list(STREAMS))
def test_every_field_is_described(name: str) -> None:
    undescribed = {
        field for field, said in fields_within(STREAMS[name].schema) if not said.get("description")
    }
    assert STREAMS[name].schema["description"]
    assert undescribed == set()


def fields_within(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every field of a schema, however deep."""
    for field, said in schema.get("properties", {}).items():
        yield field, said
        yield from fields_within(said)
    if "items" in schema:
        yield from fields_within(schema["items"])


def test_no_schema_is_left_over() -> None:
    assert {path.stem for path in (ROOT / "source_confluence" / "schemas").iterdir()} == set(STREAMS)


def test_derived_files_are_up_to_date() -> None:
    files = list(derived())
    assert len(files) >= 3
    assert [path.name for path, text in files if path.read_text(encoding="utf-8") != text] == [], (
        "run `make derived`"
    )


# ------------------------------------------------------------------ what people read


def test_the_page_describes_every_setting(spec: dict[str, Any]) -> None:
    lines = [
        line.split("|")[1:-1] for line in text_of("docs/index.md").splitlines() if line.startswith("| `")
    ]
    rows = {
        row[0].strip(" `"): [cell.strip() for cell in row[1:]]
        for row in lines
        if row[1].strip() in ("", "yes")
    }
    schema = spec["connectionSpecification"]
    for name, field in schema["properties"].items():
        if not field.get("airbyte_hidden"):
            required, default, meaning = rows.pop(name)
            assert (required == "yes") == (name in schema["required"])
            assert meaning
            if "default" in field:
                assert default.strip("`") == json.dumps(field["default"]).strip('"')
    assert rows == {}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    text = text_of(document)
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    for link in found:
        if not link.startswith("https://"):
            path, _, anchor = link.partition("#")
            target = (ROOT / document).parent / path if path else ROOT / document
            assert target.exists(), link
            if anchor:
                headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, link
    assert found or document.startswith("docs/")


def test_the_readme_opens_with_two_commands_that_make_knows() -> None:
    commands = re.findall(r"^```sh\n(.+)\n```$", text_of("README.md"), re.MULTILINE)[:2]
    assert commands == ["make demo", "make test"]
    for command in commands:
        dry = subprocess.run(
            [*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=False, text=True
        )
        assert dry.returncode == 0, dry.stderr
        assert " -m " in dry.stdout


def test_continuous_integration_runs_what_the_readme_says() -> None:
    assert re.search(r"^exec make test$", text_of(".ci/run"), re.MULTILINE)


def test_the_sample_fits_the_spec_and_the_bad_one_does_not(spec: dict[str, Any]) -> None:
    validator = Draft7Validator(spec["connectionSpecification"])
    assert validator.is_valid(json.loads(text_of("integration_tests/sample_config.json")))
    assert not validator.is_valid(json.loads(text_of("integration_tests/invalid_config.json")))


def test_the_abnormal_state_is_one_of_streams_with_a_cursor() -> None:
    for state in json.loads(text_of("integration_tests/abnormal_state.json")):
        name = state["stream"]["stream_descriptor"]["name"]
        assert list(state["stream"]["stream_state"]) == [STREAMS[name].cursor]


# ------------------------------------------------------------------ what is installed


def test_the_wheel_holds_the_connector_and_nothing_else(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {"source_confluence/manifest.yaml", "source_confluence/py.typed", "source_confluence/run.py"}
    expected |= {f"source_confluence/schemas/{name}.json" for name in STREAMS}
    assert expected <= names
    others = {name.partition("/")[0] for name in names} - {"source_confluence"}
    assert [name.partition("-")[2].partition(".dist")[0] for name in others] == [
        METADATA["data"]["dockerImageTag"]
    ]
