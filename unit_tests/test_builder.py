"""The manifest works in the Connector Builder: with the Builder's server, on its CDK and on ours."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation
from jsonschema import Draft7Validator

from common.connector import ROOT, STREAMS, config_for
from common.streams import Stream
from fake_confluence import Server, company
from source_confluence.source import MANIFEST
from unit_tests.runners import Builder, manifest_server, records_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# The names that pagination expressions may use on CDK 7.23.8, which Airbyte's platform runs; others are errors.
IN_SCOPE_OF_PAGING: dict[str, Any] = {"response": {}, "headers": {}, "last_record": None, "last_page_size": 0}


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    with Server(company(small=True)) as running:
        yield running


@pytest.fixture(scope="module", params=["builder", "ours"])
def builder(request: pytest.FixtureRequest, site: Server) -> Iterator[Builder]:
    environments = {"builder": ROOT / ".venv-builder" / "bin" / "python", "ours": Path(sys.executable)}
    # A test read of the Builder reads five partitions; the partitions of the audit log are years.
    types = sorted({record["type"] for record in site.site.records("custom_content")})
    config = config_for(site, start_date="2023-01-01T00:00:00Z", custom_content_types=types)
    with manifest_server(environments[request.param]) as url:
        yield Builder(url, config)


# ------------------------------------------------------------------ the manifest after an import


def test_the_builders_environment_has_the_cdk_that_the_manifest_names() -> None:
    (version,) = re.findall(r"^version: (.+)$", MANIFEST.read_text(encoding="utf-8"), re.MULTILINE)
    pins = (ROOT / "requirements" / "builder.txt").read_text(encoding="utf-8")
    assert f"\nairbyte-cdk=={version}\n" in pins


def test_an_import_resolves_every_stream(builder: Builder) -> None:
    assert list(builder.streams) == list(STREAMS)


def test_an_import_with_a_configuration_resolves_every_stream(builder: Builder) -> None:
    response = builder.call(
        "full_resolve", manifest=builder.manifest, config=builder.config, stream_limit=100
    )
    assert [stream["name"] for stream in response["manifest"]["streams"]] == list(STREAMS)


def blocks_with(node: Any, key: str) -> Iterator[dict[str, Any]]:
    """Yield the mappings that have a key, at any depth."""
    if isinstance(node, dict):
        if key in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from blocks_with(value, key)


def has_a_parent_of_its_own(stream: Stream) -> bool:
    """Return whether a parent is below a group of spaces, or differs from the stream that it copies."""
    routers = stream.declared["retriever"].get("partition_router", [])
    routers = routers if isinstance(routers, list) else [routers]
    return any(
        router["type"] == "GroupingPartitionRouter"
        or any(
            config["stream"] != STREAMS[config["stream"]["name"]].declared
            for config in router.get("parent_stream_configs", [])
        )
        for router in routers
    )


# The Builder shows copies of these parents: its server links no parent below a GroupingPartitionRouter, and none
# that differs from its stream. Edit these streams in the YAML view; docs/index.md says so.
COPIED = {name for name, stream in STREAMS.items() if has_a_parent_of_its_own(stream)}


@pytest.mark.parametrize(
    "name",
    [
        s.name
        for s in STREAMS.values()
        if s.router.get("type") == "SubstreamPartitionRouter" and s.name not in COPIED
    ],
)
def test_a_parent_is_linked_to_its_stream(builder: Builder, name: str) -> None:
    # The Builder's form clears a parent that is not a reference to a stream.
    configs = builder.streams[name]["retriever"]["partition_router"]["parent_stream_configs"]
    indexes = [int(config["stream"]["$ref"].removeprefix("#/streams/")) for config in configs]
    assert [list(STREAMS)[index] for index in indexes] == STREAMS[name].parents


def test_only_the_named_parents_are_copies(builder: Builder) -> None:
    copied = {
        name
        for name, stream in builder.streams.items()
        for config in blocks_with(stream, "parent_key")
        if "$ref" not in config["stream"]
    }
    assert copied == COPIED


def test_parts_that_all_streams_share_are_linked(builder: Builder) -> None:
    # A linked part has one place in the form where it can be changed.
    requesters = list(blocks_with(builder.manifest["streams"], "http_method"))
    links = {requester["authenticator"].get("$ref") for requester in requesters}
    assert links == {"#/definitions/linked/HttpRequester/authenticator"}
    assert len(requesters) >= len(STREAMS)


@pytest.mark.parametrize(
    ("kind", "part"), [("HttpRequester", "error_handler"), ("SimpleRetriever", "paginator")]
)
def test_parts_that_most_streams_share_are_linked(builder: Builder, kind: str, part: str) -> None:
    definition = builder.manifest["definitions"]["linked"][kind][part]
    links = [block for block in blocks_with(builder.manifest["streams"], part) if "$ref" in block[part]]
    assert {block[part]["$ref"] for block in links} == {f"#/definitions/linked/{kind}/{part}"}
    copies = [block for block in blocks_with(builder.manifest["streams"], part) if block[part] == definition]
    assert (len(links) > 10, copies) == (True, [])


# ------------------------------------------------------------------ the Builder's buttons


def test_the_builder_checks_the_connection(builder: Builder) -> None:
    response = builder.call("check", manifest=builder.manifest, config=builder.config)
    assert response["success"] is True


def test_the_builder_shows_why_a_check_fails(builder: Builder) -> None:
    wrong = {**builder.config, "api_token": "wrong"}
    (name,) = builder.manifest["check"]["stream_names"]
    response = builder.call("check", manifest=builder.cut_down_to(name), config=wrong)
    assert response["success"] is False
    assert "Check email and api_token" in response["message"]


def test_the_builder_discovers_every_stream(builder: Builder) -> None:
    response = builder.call("discover", manifest=builder.manifest, config=builder.config)
    schemas = {stream["name"]: stream["json_schema"] for stream in response["catalog"]["streams"]}
    assert schemas == {name: stream.schema for name, stream in STREAMS.items()}


# On our CDK other tests read every stream.
@pytest.mark.parametrize("builder", ["builder"], indirect=True)
@pytest.mark.parametrize("name", list(STREAMS))
def test_the_builder_reads_a_stream(builder: Builder, name: str) -> None:
    response = builder.test_read(name, builder.cut_down_to(name))
    assert [log["message"] for log in response["logs"] if log["level"] in ("WARN", "ERROR", "FATAL")] == []
    pages = [page for part in response["slices"] for page in part["pages"]]
    assert pages
    statuses = {200, 404} if any(operation.optional for operation in STREAMS[name].operations) else {200}
    assert all(page["request"]["url"] and page["response"]["status"] in statuses for page in pages)
    bodies = [json.loads(page["response"]["body"]) for page in pages if page["response"]["status"] == 200]
    # A test read takes five partitions: the first five posts, for example, may have no properties.
    assert bool(records_of(response)) == any(
        body.get("results", [body]) if isinstance(body, dict) else body for body in bodies
    )
    assert records_of(response) or STREAMS[name].parents
    valid = Draft7Validator(STREAMS[name].schema)
    assert [error.message for record in records_of(response) for error in valid.iter_errors(record)] == []


@pytest.mark.parametrize("builder", ["builder"], indirect=True)
def test_the_whole_manifest_reads_the_same_records(builder: Builder) -> None:
    expected = records_of(builder.test_read("page_labels", builder.cut_down_to("page_labels")))
    assert expected
    assert records_of(builder.test_read("page_labels", builder.manifest)) == expected
    assert records_of(builder.test_read("page_labels", builder.given)) == expected


def test_a_test_state_is_used(builder: Builder) -> None:
    manifest = builder.cut_down_to("attachments")
    first = builder.test_read("attachments", manifest)
    second = builder.test_read("attachments", manifest, first["slices"][-1]["state"])
    assert 0 < len(records_of(second)) < len(records_of(first))


@pytest.mark.parametrize("name", list(STREAMS))
def test_pagination_uses_only_names_of_the_platforms_cdk(name: str) -> None:
    strategy = STREAMS[name].declared["retriever"]["paginator"].get("pagination_strategy", {})
    for expression in filter(None, [strategy.get("cursor_value"), strategy.get("stop_condition")]):
        # Names that are not in scope raise an error.
        JinjaInterpolation().eval(expression, {}, **IN_SCOPE_OF_PAGING)
