"""The files around the connector match the connector."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from airbyte_connector_models.metadata.v0.connector_metadata_definition_v0 import (
    ConnectorMetadataDefinitionV0,
)
from jsonschema import Draft7Validator
from pydantic import ValidationError

from common.connector import ROOT, STREAMS, connector
from common.streams import handwritten
from source_confluence.source import MANIFEST
from tools.derive import stream_address

if TYPE_CHECKING:
    from collections.abc import Iterator

METADATA: dict[str, Any] = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))
(NAME,) = re.findall(r'^name = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
IMAGE = re.compile(r"([\w./-]*source-confluence[\w-]*):([0-9][\w.]*)")
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
    named = {name for name in ("Dockerfile", "docs/platform.md") for name in IMAGE.findall(text_of(name))}
    assert {version for _, version in named} == {packaged}


def test_the_package_and_the_image_have_a_name_of_their_own() -> None:
    registries = METADATA["data"]["remoteRegistries"]
    assert METADATA["data"]["dockerRepository"] == registries["pypi"]["packageName"] == NAME
    images = [name for path in ("Dockerfile", *DOCUMENTS) for name, _ in IMAGE.findall(text_of(path))]
    assert {name.rpartition("/")[2] for name in images} == {NAME}
    commands = [
        block
        for path in DOCUMENTS
        for block in re.findall(r"^```.+?^```", text_of(path), re.DOTALL | re.MULTILINE)
    ]
    assert [
        block for block in commands if re.search("airbyte.source-confluence", block)
    ] == []  # Airbyte's names


def test_every_breaking_change_is_in_the_changelog() -> None:
    headings = " ".join(re.findall(r"^## (.+)$", text_of("CHANGELOG.md"), re.MULTILINE))
    for version in METADATA["data"]["releases"]["breakingChanges"]:
        assert version in headings


def test_the_metadata_is_valid_for_the_registry() -> None:
    assert ConnectorMetadataDefinitionV0.model_validate(METADATA).data.name == "Confluence"


def test_the_registry_refuses_an_unknown_field() -> None:
    misspelt = {**METADATA, "data": {**METADATA["data"], "suportLevel": "community"}}
    with pytest.raises(ValidationError, match="suportLevel"):
        ConnectorMetadataDefinitionV0.model_validate(misspelt)


def test_the_metadata_names_only_existing_streams() -> None:
    named = set(METADATA["data"]["suggestedStreams"]["streams"])
    for change in METADATA["data"]["releases"]["breakingChanges"].values():
        for scope in change["scopedImpact"]:
            named |= set(scope["impactedScopes"])
    assert named <= set(STREAMS)


def test_the_manifest_reads_no_setting_that_the_spec_lacks(spec: dict[str, Any]) -> None:
    read = set(re.findall(r"config(?:\.get\(|\[)'(\w+)'", handwritten()))
    assert {name for name in read if name[0] != "_"} <= set(spec["connectionSpecification"]["properties"])


def test_the_documentation_lists_the_streams_with_names_of_people() -> None:
    table = (
        text_of("docs/platform.md")
        .partition("| Names, email addresses")[2]
        .partition("| What a person liked")[0]
    )
    with_names = {name for name in STREAMS if '"publicName"' in json.dumps(STREAMS[name].schema)}
    assert set(re.findall(r"`(\w+)`", table)) == with_names


def test_the_user_guide_begins_with_the_suggested_streams() -> None:
    (sentence,) = re.findall(r"^Start with ([^.]+)\. They cost", text_of("docs/index.md"), re.MULTILINE)
    assert re.findall(r"`(\w+)`", sentence) == METADATA["data"]["suggestedStreams"]["streams"]


def test_the_metadata_and_the_spec_link_the_same_page(spec: dict[str, Any]) -> None:
    assert METADATA["data"]["documentationUrl"] == spec["documentationUrl"]


def test_the_icon_exists() -> None:
    assert text_of(METADATA["data"]["icon"]).lstrip().startswith("<svg")


# ------------------------------------------------------------------ the manifest


def test_the_manifest_shares_parts_only_by_reference() -> None:
    text = MANIFEST.read_text(encoding="utf-8")
    assert "$parameters" not in text
    anchored = [event for event in yaml.parse(text) if getattr(event, "anchor", None)]
    assert anchored == []


def test_no_handwritten_line_of_the_manifest_is_too_long() -> None:
    assert [line for line in handwritten().splitlines() if len(line) > 120] == []


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
def test_a_stream_links_the_documentation_of_its_first_operation(name: str) -> None:
    operation = STREAMS[name].operations[0]
    path = operation.path.removeprefix("/wiki/api/v2").replace("{", "").replace("}", "").lower()
    (address,) = stream_address(name)
    version, group, anchor = re.fullmatch(
        r"https://.+/rest/(v[12])/api-group-([a-z-]+)/#(.+)", address
    ).groups()  # type: ignore[union-attr]
    assert (version, anchor) == (operation.api, f"api{path.replace('/', '-')}-get")
    assert group


@pytest.mark.parametrize("name", list(STREAMS))
def test_a_stream_has_a_schema_file_with_its_name(name: str) -> None:
    assert json.loads(text_of(f"source_confluence/schemas/{name}.json")) == STREAMS[name].schema


@pytest.mark.parametrize("name", list(STREAMS))
def test_every_field_but_keys_and_cursors_may_be_null(name: str) -> None:
    never = {*STREAMS[name].key, STREAMS[name].declared.get("incremental_sync", {}).get("cursor_field")}
    fields = STREAMS[name].schema["properties"].items()
    assert {field for field, declaration in fields if "null" not in declaration["type"]} == never - {None}


@pytest.mark.parametrize("name", list(STREAMS))
def test_every_field_is_described(name: str) -> None:
    undescribed = {
        field
        for field, declaration in fields_within(STREAMS[name].schema)
        if not declaration.get("description")
    }
    assert STREAMS[name].schema["description"]
    assert undescribed == set()


def fields_within(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every field of a schema, at any depth."""
    for field, declaration in schema.get("properties", {}).items():
        yield field, declaration
        yield from fields_within(declaration)
    if "items" in schema:
        yield from fields_within(schema["items"])


def test_every_schema_file_belongs_to_a_stream() -> None:
    assert {path.stem for path in (ROOT / "source_confluence" / "schemas").iterdir()} == set(STREAMS)


# ------------------------------------------------------------------ documentation


def test_the_documentation_describes_every_setting(spec: dict[str, Any]) -> None:
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


def anchors(markdown: str) -> set[str]:
    """Return what a link to each heading ends with."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_have_a_target(document: str) -> None:
    text = text_of(document)
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    for link in found:
        if not link.startswith("https://"):
            path, _, anchor = link.partition("#")
            target = (ROOT / document).parent / path if path else ROOT / document
            assert target.exists(), link
            if anchor:
                assert anchor in anchors(target.read_text(encoding="utf-8")), link
    assert found or document.startswith("docs/")


def test_the_tests_and_oddities_that_the_code_cites_exist() -> None:
    folders = ("source_confluence", "tools", "unit_tests")
    code = "".join(path.read_text("utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py"))
    tests = re.findall(r"\b(test_\w+\.py)::(test_\w+)", code)
    oddities = re.findall(r"oddities\.md#([\w-]+)", code)
    assert tests
    assert oddities
    for file, name in tests:
        assert f"def {name}(" in (ROOT / "unit_tests" / file).read_text(encoding="utf-8"), name
    assert {*oddities} <= anchors(text_of("docs/oddities.md"))


def test_the_readme_begins_with_two_make_targets() -> None:
    commands = re.findall(r"^```sh\n(.+)\n```$", text_of("README.md"), re.MULTILINE)[:2]
    assert commands == ["make demo", "make test"]
    for command in commands:
        dry = subprocess.run(
            [*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=False, text=True
        )
        assert dry.returncode == 0, dry.stderr
        assert " -m " in dry.stdout


def test_a_failing_test_prints_no_log(tmp_path: Path) -> None:
    lines = ["import logging, sys", "def test_it() -> None:"]
    lines += [
        f"    {how}('noise')" for how in ("logging.getLogger('airbyte').error", "print", "sys.stderr.write")
    ]
    (tmp_path / "test_it.py").write_text("\n".join([*lines, "    assert 1 + 1 == 3"]))
    folder, settings = str(tmp_path), str(ROOT / "pyproject.toml")
    command = [sys.executable, "-m", "pytest", "-c", settings, "--rootdir", folder, folder]
    ran = subprocess.run(command, capture_output=True, check=False, text=True)
    assert "assert (1 + 1) == 3" in ran.stdout
    assert ran.stdout.count("noise") == 3  # the three lines of the test itself, which pytest shows


def test_continuous_integration_runs_make_test() -> None:
    assert re.search(r"^exec make test$", text_of(".ci/run"), re.MULTILINE)


def test_the_sample_configuration_is_valid_and_the_invalid_one_is_not(spec: dict[str, Any]) -> None:
    validator = Draft7Validator(spec["connectionSpecification"])
    assert validator.is_valid(json.loads(text_of("integration_tests/sample_config.json")))
    assert not validator.is_valid(json.loads(text_of("integration_tests/invalid_config.json")))


def test_the_abnormal_state_has_the_cursors_of_its_streams() -> None:
    for state in json.loads(text_of("integration_tests/abnormal_state.json")):
        name = state["stream"]["stream_descriptor"]["name"]
        assert list(state["stream"]["stream_state"]) == [STREAMS[name].cursor]


# ------------------------------------------------------------------ the image

DOCKERFILE = re.findall(r"^([A-Z]+) (.+)$", text_of("Dockerfile"), re.MULTILINE)
COPIED = [name for instruction, rest in DOCKERFILE if instruction == "COPY" for name in rest.split()[:-1]]


def test_the_image_uses_the_base_image_of_the_metadata() -> None:
    base = METADATA["data"]["connectorBuildOptions"]["baseImage"]
    assert ("ARG", f"BASE_IMAGE={base}") in DOCKERFILE
    assert [rest for instruction, rest in DOCKERFILE if instruction == "FROM"] == ["${BASE_IMAGE}"]


def test_the_build_context_has_only_the_copied_files() -> None:
    rules = [line for line in text_of(".dockerignore").splitlines() if line and not line.startswith("#")]
    assert rules == ["*", *(f"!{name}" for name in COPIED), "**/__pycache__"]
    assert [name for name in COPIED if not (ROOT / name).exists()] == []


def test_the_image_starts_the_console_script_without_root() -> None:
    (script,) = re.findall(r'^(.+) = "source_confluence.run:main"$', text_of("pyproject.toml"), re.MULTILINE)
    assert DOCKERFILE[-3:] == [
        ("USER", "1000:1000"),
        ("ENV", f'AIRBYTE_ENTRYPOINT="{script}"'),
        ("ENTRYPOINT", f'["{script}"]'),
    ]
