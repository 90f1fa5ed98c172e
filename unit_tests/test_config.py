"""The configuration, the addresses that people paste, and the four commands of the console script."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from airbyte_cdk.sources.declarative.models.declarative_component_schema import Spec as SpecModel
from airbyte_cdk.sources.declarative.parsers.manifest_component_transformer import (
    ManifestComponentTransformer,
)
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory
from airbyte_cdk.utils import AirbyteTracedException

from common.connector import LOGGER, ROOT, STREAMS, config_for, connector, run_args
from source_confluence.config import validate
from source_confluence.source import MANIFEST, SourceConfluence

if TYPE_CHECKING:
    from pathlib import Path

    from airbyte_cdk.models import ConnectorSpecification
    from airbyte_cdk.sources.declarative.spec import Spec

    from fake_confluence import Server

OLD = {"email": "a@example.com", "api_token": "abc", "domain_name": "example.atlassian.net"}


@pytest.fixture(scope="module")
def spec() -> ConnectorSpecification:
    return SourceConfluence().spec(LOGGER)


@pytest.fixture(scope="module")
def properties(spec: ConnectorSpecification) -> dict[str, dict[str, Any]]:
    return dict(spec.connectionSpecification["properties"])


@pytest.fixture(scope="module")
def normal() -> Spec:
    """Return the part of the manifest that normalizes a configuration."""
    declared = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["spec"]
    declared = ManifestComponentTransformer().propagate_types_and_parameters("", declared, {})
    made: Spec = ModelToComponentFactory().create_component(SpecModel, declared, {})
    return made


# Names of settings


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *(
            ("space_key", "space_keys"),
            ("Space_Keys", "space_keys"),
            ("exclude_spaces", "exclude_space_keys"),
            ("exclude", "exclude_space_keys"),
            ("skip_spaces", "space_keys"),
        ),
        *(("startdate", "start_date"), ("workers", "num_workers"), ("api_tokn", "api_token")),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest_name(
    server: Server, written: str, meant: str
) -> None:
    config = {name: value for name, value in config_for(server).items() if name != meant}
    for command in ("check", "read"):
        output = connector(command, {**config, written: ["ENG"]}, select=["space"])
        said = f"There is no setting {written}. Did you mean {meant}? Correct or remove it."
        assert output.exit_code == 1
        assert said in output.stderr
        assert output.records == {}
    assert server.requests_to("") == []


@pytest.mark.parametrize("written", ["exclude_space_keys", "exclude_spaces", "space_keys"])
def test_a_setting_among_the_credentials_is_refused(server: Server, written: str) -> None:
    given = {"auth_type": "api_token", "email": server.email, "api_token": server.token, written: ["ENG"]}
    output = connector("read", {"domain_name": server.url, "credentials": given}, select=["space"])
    assert (output.exit_code, output.records) == (1, {})
    assert f"There is no setting credentials.{written}. Did you mean " in output.stderr


def test_an_unknown_setting_is_reported_and_ignored(server: Server, log: io.StringIO) -> None:
    config = {**config_for(server), "billing_reference": "a secret", "_added": 1}
    output = connector("read", config, select=["space"])
    assert output.exit_code == 0
    assert output.records["space"]
    said = re.findall(r"There is no setting [^\"]+", log.getvalue())
    assert said == ["There is no setting billing_reference; it is ignored."]


def test_the_manifest_is_not_kept_in_the_configuration(normal: Spec) -> None:
    config: dict[str, Any] = {**OLD, "__injected_declarative_manifest": {"streams": []}}
    normal.transform_config(config)
    assert config["_host"] == "example.atlassian.net"
    assert "__injected_declarative_manifest" not in config


# Addresses


@pytest.mark.parametrize(
    ("pasted", "site"),
    [
        ("acme.atlassian.net", "https://acme.atlassian.net"),
        ("acme", "https://acme.atlassian.net"),
        ("  acme.atlassian.net\n", "https://acme.atlassian.net"),
        ("ACME.Atlassian.Net", "https://acme.atlassian.net"),
        ("acme.atlassian.net/", "https://acme.atlassian.net"),
        ("acme.atlassian.net/wiki", "https://acme.atlassian.net"),
        ("https://acme.atlassian.net", "https://acme.atlassian.net"),
        ("https://acme.atlassian.net/", "https://acme.atlassian.net"),
        ("https://acme.atlassian.net/wiki/home", "https://acme.atlassian.net"),
        ("https://acme.atlassian.net/wiki/spaces/ENG/pages/1?focus=2#top", "https://acme.atlassian.net"),
        ("https://acme.atlassian.net?x=http://localhost", "https://acme.atlassian.net"),
        ("HTTPS://acme.atlassian.net:443/wiki", "https://acme.atlassian.net:443"),
        ("https://docs.example.com/wiki", "https://docs.example.com"),
        ("localhost:8090", "https://localhost:8090"),
        ("http://localhost:8090/wiki/", "http://localhost:8090"),
        ("http://127.0.0.1:8090", "http://127.0.0.1:8090"),
        ("http://127.10.0.3", "http://127.10.0.3"),
        ("http://[::1]:8090/wiki", "http://[::1]:8090"),
    ],
)
def test_a_pasted_address_is_accepted(
    spec: ConnectorSpecification, normal: Spec, pasted: str, site: str
) -> None:
    config: dict[str, Any] = {**OLD, "domain_name": pasted}
    normal.transform_config(config)
    validate(spec.connectionSpecification, config)
    assert (config["_v2"], config["_v1"]) == (f"{site}/wiki/api/v2", f"{site}/wiki/rest/api")


@pytest.mark.parametrize(
    "pasted",
    [
        "",
        " ",
        "https://",
        "http://acme.atlassian.net",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost@example.com",
        "http://localhost:80@example.com",
        "http://1270.0.0.1",
        "http://10.0.0.1",
        "http:// localhost",
        "https://someone:secret@acme.atlassian.net",
        "https://acme.atlassian.net\\@example.com",
        "ftp://acme.atlassian.net",
        "file:///etc/passwd",
        "//acme.atlassian.net",
        "acme atlassian net",
        "acme.atlassian.net\nexample.com",
        "{{ config['api_token'] }}.example.com",
    ],
)
def test_an_invalid_or_unsafe_address_is_refused(spec: ConnectorSpecification, pasted: str) -> None:
    with pytest.raises(AirbyteTracedException, match=r"http:// only for localhost|invisible"):
        validate(spec.connectionSpecification, {**OLD, "domain_name": pasted})


def test_requests_go_to_the_host_of_a_pasted_address(server: Server) -> None:
    config = config_for(server, domain_name=f" {server.url}/wiki/spaces/ENG/overview?mode=global#top ")
    assert connector("check", config).connection == {"status": "SUCCEEDED"}
    assert server.log
    assert {request.path.split("/")[1] for request in server.log} == {"wiki"}


# The specification


def test_the_three_flat_fields_remain_beside_the_credentials(
    spec: ConnectorSpecification, properties: dict[str, Any]
) -> None:
    assert spec.connectionSpecification["required"] == ["domain_name"]
    assert [properties[name]["type"] for name in ("email", "api_token", "domain_name")] == ["string"] * 3
    assert spec.connectionSpecification["additionalProperties"] is True
    with pytest.raises(AirbyteTracedException, match="lacks api_token"):
        validate(spec.connectionSpecification, {"domain_name": "acme", "email": "someone@example.com"})


def test_the_token_is_the_only_secret(properties: dict[str, dict[str, Any]]) -> None:
    assert [name for name, declared in properties.items() if declared.get("airbyte_secret")] == ["api_token"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("body_format", {"enum": ["storage", "atlas_doc_format", "none"], "default": "storage"}),
        ("rendered_format", {"enum": ["view", "export_view", "styled_view"], "default": "view"}),
        ("version_bodies", {"type": "boolean", "default": False}),
        ("page_size", {"type": "integer", "minimum": 1, "maximum": 250, "default": 250}),
        ("num_workers", {"type": "integer", "minimum": 1, "maximum": 25, "default": 10}),
    ],
)
def test_an_option_has_its_bounds_and_default(
    properties: dict[str, dict[str, Any]], name: str, expected: dict[str, Any]
) -> None:
    assert expected.items() <= properties[name].items()


def test_every_field_has_a_title_a_description_and_an_order(
    properties: dict[str, dict[str, Any]],
) -> None:
    assert all(declared["title"] and declared["description"] for declared in properties.values())
    assert sorted(declared["order"] for declared in properties.values()) == list(range(len(properties)))


def test_an_existing_configuration_reads_with_the_defaults(server: Server) -> None:
    config = {**OLD, "email": server.email, "api_token": server.token, "domain_name": server.url}
    output = connector("read", {**config, "left_by_a_form_of_old": 1}, select=["blog_posts"])
    assert (output.exit_code, output.errors) == (0, [])
    assert all(record["body"]["storage"]["value"] for record in output.records["blog_posts"])
    (request,) = server.requests_to("/wiki/api/v2/blogposts")
    assert (request.values("limit"), request.values("space-id")) == (["250"], [])


# The console script


@pytest.mark.parametrize(
    ("args", "code"),
    [([], 0), (["--help"], 0), (["read"], 2), (["check"], 2), (["write"], 2), (["spec", "--loudly"], 2)],
    ids=["nothing", "help", "read without files", "check without files", "unknown command", "unknown option"],
)
def test_help_and_errors_of_the_command_line_show_the_usage(args: list[str], code: int) -> None:
    output = run_args(args)
    assert output.exit_code == code
    printed = output.stderr if code else "\n".join(output.other)
    assert "usage: " in printed
    assert "Traceback" not in output.stderr


def test_the_example_files_of_the_help_work(server: Server) -> None:
    for args in ([], ["-h"], ["--help"]):
        shown = "\n".join(run_args(args).other)
        files = re.findall(r":\n(  \{.+?\})(?=\n\S|\Z)", shown, re.DOTALL)
        config, catalog = (json.loads(file) for file in files)
        assert [stream["stream"]["name"] for stream in catalog["streams"]] == ["pages"]
        assert config.keys() == config_for(server).keys()
    assert connector("read", config_for(server), catalog=catalog).records["pages"]


def test_spec_needs_no_configuration(spec: ConnectorSpecification) -> None:
    output = run_args(["spec"])
    assert (output.exit_code, output.stderr, output.other) == (0, "", [])
    (message,) = (m for m in output.messages if m["type"] == "SPEC")
    assert message["spec"]["connectionSpecification"] == spec.connectionSpecification


@pytest.fixture(scope="module")
def catalog() -> dict[str, dict[str, Any]]:
    output = connector("discover", OLD)
    (message,) = (m for m in output.messages if m["type"] == "CATALOG")
    return {stream["name"]: stream for stream in message["catalog"]["streams"]}


def test_discover_lists_every_stream_without_a_request(catalog: dict[str, dict[str, Any]]) -> None:
    assert len(catalog) == len(STREAMS)
    assert list(catalog) == list(STREAMS)


@pytest.mark.parametrize("name", STREAMS)
def test_discover_returns_key_cursor_and_schema(catalog: dict[str, dict[str, Any]], name: str) -> None:
    found, stream = catalog[name], STREAMS[name]
    assert found["source_defined_primary_key"] == [[field] for field in stream.key]
    incremental = ["incremental"] if stream.cursor else []
    assert sorted(found["supported_sync_modes"]) == sorted(["full_refresh", *incremental])
    assert found.get("default_cursor_field") == ([stream.cursor] if stream.cursor else None)
    assert found["json_schema"]["properties"] == stream.schema["properties"]


def test_the_module_runs_from_any_directory_and_prints_only_messages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "source_confluence", "spec"]
    ran = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "SPEC" in [json.loads(line)["type"] for line in ran.stdout.splitlines()]
