"""The one file runs elsewhere: in Airbyte's declarative runner and behind the Connector Builder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import uvicorn
import yaml
from airbyte_cdk.manifest_server.app import app
from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation

from fake_confluence import Server, company
from source_confluence.source import MANIFEST
from tools.streams import streams
from unit_tests.conftest import STREAMS, config_for, configured, connector

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first five, and one of each way to ask for more: spaces grouped, per record, with two parents, by a
# field of the parent, and through the search.
READ = [
    *("audit", "blog_posts", "group", "pages", "space"),
    *("content_templates", "group_members", "page_labels", "page_versions", "tasks", "tree_items"),
]
# What paging expressions may name on CDK 7.23.8, which Airbyte's platform runs. More is an error there.
IN_SCOPE_OF_PAGING: dict[str, Any] = {"response": {}, "headers": {}, "last_record": None, "last_page_size": 0}


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


# ------------------------------------------------------------------ the Connector Builder's server


@contextmanager
def serving() -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)  # until it listens; there is nothing to wait on
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1/manifest"
    server.should_exit = True
    thread.join()


class Builder:
    """The calls of the Builder's user interface."""

    def __init__(self, url: str, config: dict[str, Any]) -> None:
        self.url, self.config = url, config
        self.given = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
        # What an import sends; everything after it takes what comes back.
        flags = {"__should_migrate": True, "__should_normalize": True}
        self.manifest = self.call("resolve", manifest={**self.given, **flags})["manifest"]

    def call(self, command: str, **body: Any) -> dict[str, Any]:
        answer = requests.post(f"{self.url}/{command}", json=body, timeout=120)
        assert answer.status_code == 200, answer.text[:2000]
        return dict(answer.json())

    def test_read(self, name: str, manifest: dict[str, Any] | None = None) -> dict[str, Any]:
        limits = {"record_limit": 1000, "page_limit": 5, "slice_limit": 5, "state": []}
        wanted = {"manifest": manifest or self.manifest, "config": self.config, "stream_name": name}
        return self.call("test_read", **wanted, **limits)


@pytest.fixture(scope="module")
def builder(config: dict[str, Any]) -> Iterator[Builder]:
    with serving() as url:
        yield Builder(url, config)


def test_the_builder_resolves_every_stream(builder: Builder) -> None:
    assert [stream["name"] for stream in builder.manifest["streams"]] == list(STREAMS)


def test_the_builder_resolves_every_stream_with_a_configuration(builder: Builder) -> None:
    answer = builder.call("full_resolve", manifest=builder.manifest, config=builder.config, stream_limit=100)
    assert [stream["name"] for stream in answer["manifest"]["streams"]] == list(STREAMS)


@pytest.mark.parametrize(
    "name", [s.name for s in streams() if s.router.get("type") == "SubstreamPartitionRouter"]
)
def test_a_parent_is_linked_to_its_stream(builder: Builder, name: str) -> None:
    # The Builder's form clears a parent that is not a reference to one of the streams.
    shown = {stream["name"]: stream for stream in builder.manifest["streams"]}
    configs = shown[name]["retriever"]["partition_router"]["parent_stream_configs"]
    links = [parent["stream"]["$ref"] for parent in configs]
    indexes = [int(link.removeprefix("#/streams/")) for link in links]
    assert [builder.manifest["streams"][index]["name"] for index in indexes] == STREAMS[name].parents


def test_the_builder_finds_the_credentials_shared(builder: Builder) -> None:
    # Linked once means: one place in the form to change them.
    requesters = [stream["retriever"]["requester"] for stream in builder.manifest["streams"]]
    links = {requester["authenticator"].get("$ref") for requester in requesters}
    assert links == {"#/definitions/linked/HttpRequester/authenticator"}


def test_the_builder_checks_the_connection(builder: Builder) -> None:
    answer = builder.call("check", manifest=builder.manifest, config=builder.config)
    assert answer["success"] is True


def test_the_builder_shows_why_a_check_fails(builder: Builder) -> None:
    wrong = {**builder.config, "api_token": "wrong"}
    answer = builder.call("check", manifest=builder.manifest, config=wrong)
    assert answer["success"] is False
    assert "Check email and api_token" in answer["message"]


def test_the_builder_discovers_every_stream(builder: Builder) -> None:
    answer = builder.call("discover", manifest=builder.manifest, config=builder.config)
    assert {stream["name"] for stream in answer["catalog"]["streams"]} == set(STREAMS)


@pytest.mark.parametrize("name", ["pages", "page_versions", "blog_posts", "group_members", "audit"])
def test_the_builder_reads_a_stream(builder: Builder, name: str) -> None:
    answer = builder.test_read(name)
    pages = [page for part in answer["slices"] for page in part["pages"]]
    assert [log["message"] for log in answer["logs"] if log["level"] in ("ERROR", "FATAL")] == []
    assert sum(len(page["records"]) for page in pages) > 0
    assert all(page["request"]["url"] and page["response"]["status"] == 200 for page in pages)


def test_the_builder_reads_the_file_as_it_is_too(builder: Builder) -> None:
    pages = builder.test_read("page_labels", builder.given)["slices"][0]["pages"]
    assert pages[0]["records"]


@pytest.mark.parametrize("name", list(STREAMS))
def test_paging_names_only_what_the_platforms_cdk_knows(name: str) -> None:
    strategy = STREAMS[name].declared["retriever"]["paginator"].get("pagination_strategy", {})
    for expression in filter(None, [strategy.get("cursor_value"), strategy.get("stop_condition")]):
        # Names that are not in scope raise.
        JinjaInterpolation().eval(expression, {}, **IN_SCOPE_OF_PAGING)
