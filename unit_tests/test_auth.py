"""Each authentication method reads everything, explains a failure in one sentence, and shows no secret."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from airbyte_cdk.sources.streams.http import rate_limiting
from airbyte_cdk.utils import AirbyteTracedException

from common.connector import (
    LOGGER,
    ROOT,
    STREAMS,
    Output,
    config_for,
    configured,
    connector,
    key_of,
    run_args,
)
from common.files import options
from fake_confluence import Request, Server, company
from fake_confluence.access import TokenRequest
from source_confluence.components import authenticator
from source_confluence.config import validate
from source_confluence.source import SourceConfluence
from unit_tests.credentials import EVERY_SCOPE, OPERATIONS, WAYS, Config, oauth, scoped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airbyte_cdk.models import ConnectorSpecification

PAGES, SPACES, LABEL_PAGES = "/wiki/api/v2/pages", "/wiki/api/v2/spaces", "/wiki/api/v2/labels/{id}/pages"
GROUP = "/wiki/rest/api/group"
# One of each family: v2 lists, a v1 list, both searches, a child, a single object, a bare list.
FAMILIES = (
    *("space", "pages", "group", "users", "tree_item_index", "page_labels", "site_info"),
    "classification_levels",
)
SITE_WAYS = ("flat", "api_token")
pytestmark = pytest.mark.usefixtures("log")  # shown secrets are also looked for in the log


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    with Server(company(small=True), max_page=3) as running:
        yield running


@pytest.fixture
def server(site: Server) -> Iterator[Server]:
    site.log.clear()
    site.access.requests.clear()
    yield site
    site.heal()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limiting, "time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture(scope="module")
def bare() -> SourceConfluence:
    return SourceConfluence()


@pytest.fixture(scope="module")
def specification() -> ConnectorSpecification:
    return SourceConfluence().spec(LOGGER)


def secrets_of(server: Server, config: Config) -> list[str]:
    """Return what must not be shown: configured secrets, their encoded forms, and all issued tokens."""
    given = {**config, **(config.get("credentials") or {})}
    found = [given[name] for name in ("api_token", "client_secret", "refresh_token") if name in given]
    pairs = [f"{given['email']}:{given['api_token']}"] if "api_token" in given else []
    packed = [base64.b64encode(pair.encode()).decode() for pair in pairs]
    return [*found, *packed, *server.access.issued]


def assert_no_secret(server: Server, config: Config, text: str) -> None:
    shown = [secret for secret in secrets_of(server, config) if secret in text]
    assert shown == [], text[max(0, text.find(shown[0]) - 300) : text.find(shown[0]) + 100]


def run(command: str, server: Server, config: Config, *names: str, **more: Any) -> Output:
    """Run the connector; check that a secret is shown only in the CONTROL message."""
    log = next(h.stream for h in logging.getLogger().handlers if type(h) is logging.StreamHandler)
    log.seek(0)
    log.truncate()
    output = connector(command, config, select=names, **more)
    seen = [message for message in output.messages if message["type"] != "CONTROL"]
    assert_no_secret(server, config, json.dumps(seen) + output.stderr + log.getvalue())
    assert '"LOG"' in log.getvalue()
    assert "Traceback" not in output.stderr
    assert output.other == []
    return output


def failure(server: Server, config: Config) -> str:
    """Return the message of a check that fails."""
    connection = run("check", server, config).connection
    assert connection["status"] == "FAILED"
    sentence: str = connection["message"]
    assert "<" not in sentence
    assert "Exception" not in sentence
    return sentence


def error_of(output: Output, stream: str) -> str:
    """Return the message of a stream's error trace."""
    traces = [m["trace"]["error"] for m in output.messages if m.get("trace", {}).get("type") == "ERROR"]
    named = [e["message"] for e in traces if (e.get("stream_descriptor") or {}).get("name") == stream]
    assert named, f"{stream} did not fail"
    return str(named[0])


def controls(output: Output) -> list[Config]:
    """Return the configurations that CONTROL messages ask the platform to save."""
    return [m["control"]["connectorConfig"]["config"] for m in output.messages if m["type"] == "CONTROL"]


def records_of(output: Output) -> dict[str, dict[Any, Any]]:
    return {name: {key_of(name, r): r for r in output.records[name]} for name in output.records}


# Every method reads everything


@dataclass
class Read:
    """The output and the requests of one read of all families."""

    config: Config
    output: Output
    requested: list[Request]
    tokens: list[TokenRequest]


@pytest.fixture(scope="module")
def reads(site: Server) -> dict[str, Read]:
    found = {}
    for way, given in {"flat": config_for(site), **{way: WAYS[way](site) for way in WAYS}}.items():
        site.log.clear()
        site.access.requests.clear()
        output = run("read", site, given, *FAMILIES)
        found[way] = Read(given, output, list(site.log), list(site.access.requests))
    return found


@pytest.mark.parametrize("way", ["flat", *WAYS])
def test_each_authentication_method_reads_every_record(
    server: Server, reads: dict[str, Read], way: str
) -> None:
    read = reads[way]
    assert read.output.exit_code == 0
    assert set(read.output.records) == set(FAMILIES)
    assert records_of(read.output) == records_of(reads["flat"].output)
    for name in FAMILIES:
        assert len(read.output.records[name]) == len(records_of(read.output)[name]), name
    requested = [request for request in read.requested if request.path.startswith("/wiki")]
    assert {request.cloud_id for request in requested} == {"" if way in SITE_WAYS else server.cloud_id}
    # A page holds three records: the next pages were requested at the same address.
    for path, place in ((PAGES, "cursor"), (GROUP, "start"), (SPACES, "cursor")):
        assert [request for request in requested if request.operation == path and request.values(place)], path


def test_flat_and_nested_configurations_discover_the_same(server: Server) -> None:
    catalogs = [run("discover", server, each).messages for each in (config_for(server), oauth(server))]
    listed = [
        [s["name"] for m in c if m["type"] == "CATALOG" for s in m["catalog"]["streams"]] for c in catalogs
    ]
    assert listed[0] == listed[1]
    assert set(listed[0]) == set(STREAMS)
    assert server.log == []


# OAuth: tokens expire and rotate


@pytest.mark.parametrize(
    ("way", "grant"), [("oauth2.0", "refresh_token"), ("service_account", "client_credentials")]
)
def test_streams_that_start_together_request_one_token(reads: dict[str, Read], way: str, grant: str) -> None:
    read = reads[way]
    sent = read.config["credentials"].get("refresh_token", "")
    client = read.config["credentials"]["client_id"]
    assert read.tokens == [TokenRequest(grant, client, sent, 200)]
    (request,) = [request for request in read.requested if request.path == "/oauth/token"]
    assert (request.method, request.query) == ("POST", [])
    assert "authorization" not in request.headers


def test_the_saved_refresh_token_works(server: Server, reads: dict[str, Read]) -> None:
    old = reads["oauth2.0"].config
    (kept,) = controls(reads["oauth2.0"].output)
    assert kept["credentials"].keys() >= old["credentials"].keys()
    assert kept["credentials"]["refresh_token"] != old["credentials"]["refresh_token"]

    # The saved access token is valid for an hour.
    output = run("read", server, kept, "labels")
    assert (output.exit_code, controls(output), server.access.requests) == (0, [], [])

    # Then the saved refresh token works, and the previous one is no longer valid.
    kept["credentials"]["token_expiry_date"] = "2020-01-01T00:00:00Z"
    output = run("read", server, kept, "labels")
    assert output.exit_code == 0
    assert [request.status for request in server.access.requests] == [200]
    assert len(controls(output)) == 1
    output = run("read", server, old, "labels")
    assert output.exit_code == 1
    assert "refresh token" in error_of(output, "labels")


@pytest.mark.parametrize("way", ["oauth2.0", "service_account"])
def test_a_token_that_expires_during_a_read_is_renewed(
    server: Server, reads: dict[str, Read], way: str
) -> None:
    def expire_at_the_third(_request: Request) -> None:
        if len(server.requests_to(LABEL_PAGES)) == 3:
            server.expire_tokens()

    server.before(LABEL_PAGES, expire_at_the_third)
    output = run("read", server, WAYS[way](server), "page_labels", "group")
    assert output.exit_code == 0, output.errors
    wanted = records_of(reads["flat"].output)
    assert records_of(output) == {name: wanted[name] for name in ("page_labels", "group")}
    assert 401 in {request.status for request in server.log}
    assert [request.status for request in server.access.requests] == [200, 200]
    assert len(controls(output)) == (2 if way == "oauth2.0" else 0)


def test_an_expired_access_token_does_not_fail_the_check(server: Server) -> None:
    kept = oauth(server, access_token="gone", token_expiry_date="2999-01-01T00:00:00Z")
    output = run("check", server, kept)
    assert output.connection == {"status": "SUCCEEDED"}
    assert len(controls(output)) == len(server.access.requests) == 1


def test_a_check_does_not_save_its_own_changes(server: Server) -> None:
    def expire_once(_request: Request) -> None:
        if len(server.requests_to(GROUP)) == 1:
            server.expire_tokens()

    server.before(GROUP, expire_once)
    given = {**oauth(server), "space_keys": [str(server.site.records("spaces")[0]["key"])]}
    output = run("check", server, given)
    assert output.connection["status"] == "SUCCEEDED"
    assert 401 in {request.status for request in server.log}
    for kept in controls(output):
        assert kept["credentials"].pop("refresh_token")
        mine = {name: value for name, value in kept.items() if not name.startswith("_")}
        assert {**mine, "credentials": given["credentials"]} == given
    renewed = [request for request in server.access.requests if request.status == 200]
    assert len(renewed) == len(controls(output)) > 0


@pytest.mark.parametrize("command", ["check", "read"])
def test_a_renewed_token_is_saved_with_the_settings_of_the_connection(server: Server, command: str) -> None:
    given = {**oauth(server), "part": "1/2", "exclude_space_keys": ["OPS"]}
    output = run(command, server, given, "labels")
    assert output.exit_code == 0, output.errors
    assert controls(output)
    for kept in controls(output):
        settings = {name: value for name, value in kept.items() if not name.startswith("_")}
        assert {**settings, "credentials": given["credentials"]} == given


# Errors


@pytest.mark.parametrize("way", ["api_token", "scoped_api_token"])
def test_a_wrong_token_fails_the_check(server: Server, way: str) -> None:
    sentence = failure(server, WAYS[way](server, api_token="a-wrong-one"))
    assert "wrong, expired or revoked credential" in sentence
    assert ("cloud_id" if way == "scoped_api_token" else "domain_name") in sentence


def test_the_error_for_a_scoped_token_at_the_site_names_the_right_method(server: Server) -> None:
    sentence = failure(server, {**config_for(server), "api_token": server.scoped_token(EVERY_SCOPE)})
    assert "401" in sentence
    assert "scoped_api_token" in sentence
    assert "cloud_id" in sentence


def test_an_error_names_the_wrong_cloud_id(server: Server) -> None:
    sentence = failure(server, scoped(server, cloud_id="3f6f2c1e-0000-0000-0000-000000000000"))
    assert "404" in sentence
    assert "cloud_id" in sentence
    assert "/_edge/tenant_info" in sentence


def test_an_error_says_that_a_site_was_not_granted(server: Server) -> None:
    app = server.oauth_app(EVERY_SCOPE, client_id="another-app", sites=["another-site"])
    sentence = failure(server, oauth(server, app))
    assert "cloud_id" in sentence
    assert "deselect" not in sentence
    assert "The app is not installed on this instance" in sentence


def test_an_invalid_refresh_token_fails_the_check(server: Server) -> None:
    output = run("check", server, oauth(server, refresh_token="used-before"))
    assert output.connection["status"] == "FAILED"
    assert "refresh token" in output.connection["message"]
    assert "again" in output.connection["message"]
    assert controls(output) == []


@pytest.mark.parametrize(("way", "field"), [("oauth2.0", "client_secret"), ("service_account", "client_id")])
def test_a_wrong_client_and_an_invalid_refresh_token_have_different_errors(
    server: Server, way: str, field: str
) -> None:
    sentence = failure(server, WAYS[way](server, **{field: "a-wrong-one"}))
    assert "client_id" in sentence
    assert "client_secret" in sentence
    assert "refresh token" not in sentence.lower()


def test_a_missing_scope_is_named_and_fails_only_its_streams(server: Server) -> None:
    names = ("space", "pages", "page_labels", "group", "tree_items")
    given = scoped(server, ["read:space:confluence", "search:confluence"])
    output = run("read", server, given, *names)
    assert output.exit_code == 1
    assert output.statuses == {**dict.fromkeys(names, "INCOMPLETE"), "space": "COMPLETE"}
    assert list(output.records) == ["space"]
    needed = {
        "pages": ["read:page:confluence"],
        "page_labels": ["read:page:confluence", "read:label:confluence"],  # also the parent's scope
        "group": ["read:confluence-groups", "read:group:confluence"],
        "tree_items": [f"read:{kind}:confluence" for kind in ("folder", "whiteboard", "database", "embed")],
    }
    for name, scopes in needed.items():
        sentence = error_of(output, name)
        assert name in sentence
        assert all(scope in sentence for scope in scopes), sentence
        assert "scope does not match" in sentence
        assert f"{name}: " in output.stderr


def test_a_check_succeeds_and_names_each_unreadable_stream_once(server: Server) -> None:
    lacking = {"read:comment:confluence", "read:audit-log:confluence", "read:task:confluence"}
    output = run("check", server, scoped(server, [scope for scope in EVERY_SCOPE if scope not in lacking]))
    assert output.connection["status"] == "SUCCEEDED"
    message = output.connection["message"]
    prose = re.sub(r"\w+(:[\w.-]+)+", "", message)  # without scopes, which contain names of streams
    refused = {name for name in STREAMS if re.search(rf"\b{name}\b", prose)}
    assert refused == {
        "audit",
        "audit_retention",
        "tasks",
        "named_users",
        *(name for name in STREAMS if "_comment" in name),
    }
    assert all(scope in message for scope in lacking)
    assert message.count("lacks a scope") == 1


def test_a_check_fails_if_spaces_cannot_be_read(server: Server) -> None:
    assert "read:space:confluence" in failure(server, scoped(server, ["read:page:confluence"]))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"domain_name": "acme"}, ["credentials", "email", "api_token"]),
        ({"domain_name": "acme", "email": "a@b.c"}, ["credentials", "api_token"]),
        ({"domain_name": "acme", "credentials": {}}, ["auth_type"]),
        ({"domain_name": "acme", "credentials": {"auth_type": "basic"}}, ["auth_type", "scoped_api_token"]),
        (
            {
                "domain_name": "acme",
                "credentials": {"auth_type": "scoped_api_token", "email": "a@b.c", "api_token": "hidden"},
            },
            ["cloud_id", "/_edge/tenant_info"],
        ),
        (
            {"domain_name": "acme", "credentials": {"auth_type": "service_account", "client_id": "x"}},
            ["client_secret"],
        ),
        (
            {
                "domain_name": "acme",
                "credentials": {"auth_type": "oauth2.0", "client_id": "x", "client_secret": "hidden"},
            },
            ["refresh_token"],
        ),
        (
            {
                "domain_name": "acme",
                "credentials": {
                    "auth_type": "service_account",
                    "client_id": "x",
                    "client_secret": "hidden",
                    "cloud_id": "../../evil",
                },
            },
            ["cloud_id"],
        ),
        (
            {"domain_name": "https://me:hidden@acme.atlassian.net", "email": "a@b.c", "api_token": "hidden"},
            ["domain_name", "example.atlassian.net"],
        ),
    ],
)
def test_an_error_names_what_a_configuration_lacks(
    specification: ConnectorSpecification, given: Config, named: list[str]
) -> None:
    with pytest.raises(AirbyteTracedException) as raised:
        validate(specification.connectionSpecification, given)
    sentence = raised.value.message or ""
    assert all(word in sentence for word in named), sentence
    assert "hidden" not in sentence


# Addresses


def normalised(source: SourceConfluence, given: Config) -> Config:
    """Return the configuration from which requests are made."""
    assert source._spec_component  # noqa: SLF001 - where the CDK keeps the manifest's rules
    source._spec_component.transform_config(given)  # noqa: SLF001
    return given


@pytest.mark.parametrize(
    "domain_name",
    [
        *("acme", "https://acme.atlassian.net/wiki", "https://wiki.example.com"),
        *("http://127.0.0.1.example.com", "http://localhost@example.com", "127.0.0.1:80"),
    ],
)
@pytest.mark.parametrize("way", ["scoped_api_token", "oauth2.0", "service_account"])
def test_the_gateway_and_the_token_endpoint_have_fixed_hosts(
    bare: SourceConfluence, domain_name: str, way: str
) -> None:
    # A configuration must not change these hosts.
    forged = dict.fromkeys(("_atlassian", "_token_url", "_wiki", "_v1", "_v2"), "https://evil.example")
    given = {"domain_name": domain_name, "credentials": {"auth_type": way, "cloud_id": "11-22"}}
    made = normalised(bare, {**given, **forged, "_scheme": "http", "_auth_type": "api_token"})
    assert made["_token_url"] == "https://auth.atlassian.com/oauth/token"
    assert made["_wiki"] == "https://api.atlassian.com/ex/confluence/11-22/wiki"
    assert (made["_v1"], made["_v2"]) == (f"{made['_wiki']}/rest/api", f"{made['_wiki']}/api/v2")


@pytest.mark.parametrize(
    "domain_name", ["http://127.0.0.1:1", "http://localhost:1/wiki", "http://[::1]:1", "HTTP://LOCALHOST:1"]
)
def test_a_loopback_address_replaces_all_hosts(bare: SourceConfluence, domain_name: str) -> None:
    given = {"domain_name": domain_name, "credentials": {"auth_type": "service_account", "cloud_id": "11-22"}}
    made = normalised(bare, given)
    host = domain_name.lower().removesuffix("/wiki")
    assert made["_token_url"] == f"{host}/oauth/token"
    assert made["_wiki"] == f"{host}/ex/confluence/11-22/wiki"


def test_allowed_hosts_are_the_called_hosts() -> None:
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))
    assert set(metadata["data"]["allowedHosts"]["hosts"]) == {
        *("${domain_name}", "*.atlassian.net", "api.atlassian.com", "auth.atlassian.com"),
        *("*.atlassian-us-gov-mod.net", "api.atlassian-us-gov-mod.com", "auth.atlassian-us-gov-mod.com"),
        "api.media.atlassian.com",  # the host of files
    }


# The specification


@pytest.fixture(scope="module")
def spec() -> Config:
    (found,) = [m["spec"] for m in connector("spec").messages if m["type"] == "SPEC"]
    return dict(found)


def test_the_form_offers_four_methods_and_hides_secrets(spec: Config) -> None:
    properties = spec["connectionSpecification"]["properties"]
    ways = properties["credentials"]["oneOf"]
    fields = {way["properties"]["auth_type"]["const"]: list(way["properties"])[1:] for way in ways}
    assert fields == {
        "api_token": ["email", "api_token"],
        "scoped_api_token": ["email", "api_token", "cloud_id"],
        "oauth2.0": [
            *("client_id", "client_secret", "refresh_token", "access_token", "token_expiry_date", "cloud_id")
        ],
        "service_account": ["client_id", "client_secret", "cloud_id"],
    }
    secret = {"api_token", "client_secret", "refresh_token", "access_token"}
    for fields_of in (properties, *(way["properties"] for way in ways)):
        for name, field in fields_of.items():
            assert bool(field.get("airbyte_secret")) == (name in secret), name


def test_the_oauth_button_requests_exactly_the_needed_scopes(spec: Config) -> None:
    advanced = spec["advanced_auth"]
    assert (advanced["predicate_key"], advanced["predicate_value"]) == (
        ["credentials", "auth_type"],
        "oauth2.0",
    )
    requested = advanced["oauth_config_specification"]["oauth_connector_input_specification"]
    scopes = requested["scope"].split()
    assert len(scopes) == len(set(scopes))
    assert "offline_access" in scopes
    assert all(scope == "offline_access" or scope.startswith(("read:", "search:")) for scope in scopes)

    def unreadable(granted: set[str]) -> set[str]:
        ways = {op.path: [set(kind) for kind in op.scopes.values()] for op in OPERATIONS}
        return {path for path, kinds in ways.items() if not any(kind <= granted for kind in kinds)}

    granted = set(scopes) - {"offline_access"}
    levels = {f"/wiki/api/v2/{kind}/{{id}}/classification-level" for kind in ("pages", "blogposts")}
    assert unreadable(granted) == levels  # these need a scope to write, which nobody should have to grant
    assert [scope for scope in granted if unreadable(granted - {scope}) == levels] == []
    assert requested["consent_url"].startswith(
        "https://auth.atlassian.com/authorize?audience=api.atlassian.com&"
    )
    assert "prompt=consent" in requested["consent_url"]
    assert requested["access_token_url"] == "https://auth.atlassian.com/oauth/token"
    assert set(requested["extract_output"]) == {"access_token", "refresh_token"}


# The documentation


def readable(granted: set[str]) -> set[str]:
    """Return the streams that can be read with these scopes, including the scopes of their parents."""

    def may(name: str) -> bool:
        operations, parents = STREAMS[name].operations, STREAMS[name].parents
        own = all(any(granted.issuperset(kind) for kind in op.scopes.values()) for op in operations)
        return own and all(may(parent) for parent in parents)

    return {name for name in STREAMS if may(name)}


def test_the_documented_scopes_are_exactly_the_needed_scopes(spec: Config) -> None:
    text = (ROOT / "docs" / "authentication.md").read_text(encoding="utf-8")
    _, pages, ai, everything = re.split(
        r"^### (?:Only pages and posts|Pages and posts for an AI, and who may see them|Everything)$",
        text,
        flags=re.MULTILINE,
    )
    pages_scopes, ai_scopes, all_scopes = (
        set(part.partition("```text\n")[2].partition("```")[0].split()) for part in (pages, ai, everything)
    )
    named, named_for_ai = (
        set(re.findall(r"`([a-z_]+)`", part.partition("This reads")[2].partition(".")[0]))
        for part in (pages, ai)
    )
    assert readable(pages_scopes) == named
    assert readable(ai_scopes) >= named_for_ai
    assert {"pages", "users", "group_members", "space_permissions", "page_restrictions"} <= named_for_ai
    assert [scope for scope in ai_scopes if readable(ai_scopes - {scope}) >= named_for_ai] == []
    wanted = set(STREAMS) - set(
        re.findall(r"`(\w+_levels)`", everything.partition("None of them can write.")[2])
    )
    assert len(wanted) == len(STREAMS) - 2
    assert readable(all_scopes) == wanted
    assert [scope for scope in all_scopes if readable(all_scopes - {scope}) == wanted] == []
    assert readable({*all_scopes, "write:page:confluence"}) == set(STREAMS)
    requested = spec["advanced_auth"]["oauth_config_specification"]["oauth_connector_input_specification"]
    assert all_scopes | {"offline_access"} == set(requested["scope"].split())


# Secrets


@pytest.mark.parametrize(
    ("way", "status"),
    [("api_token", 400), ("scoped_api_token", 401), ("oauth2.0", 403), ("service_account", 500)],
)
def test_an_authorization_header_in_a_response_is_not_shown(server: Server, way: str, status: int) -> None:
    def repeat(_body: bytes) -> bytes:
        sent = server.log[-1].headers["authorization"]
        return json.dumps({"code": status, "message": f"Who is {sent}?", "title": sent}).encode()

    server.fail(SPACES, times=None, status=status, body=repeat)
    assert failure(server, WAYS[way](server))
    assert server.requests_to(SPACES)


@pytest.mark.parametrize(("way", "status"), [("oauth2.0", 200), ("oauth2.0", 403), ("service_account", 400)])
def test_a_secret_in_a_token_response_is_not_shown(server: Server, way: str, status: int) -> None:
    def repeat(_body: bytes) -> bytes:
        sent = server.log[-1].body.decode()
        return json.dumps({"error": f"no: {sent}", "error_description": sent, "sent": sent}).encode()

    server.fail("/oauth/token", times=None, status=status, body=repeat)
    assert failure(server, WAYS[way](server))
    assert server.requests_to("/oauth/token")


def test_a_word_that_no_token_response_contains_is_no_secret(server: Server) -> None:
    assert connector("read", WAYS["service_account"](server), select=["space"]).exit_code == 0
    server.fail("/group", times=None, status=403, body=b'{"message":"None of your business"}')
    output = connector("read", WAYS["service_account"](server), select=["group"])
    assert "None of your business" in output.errors[0]


def test_a_token_endpoint_that_is_down_is_asked_again_after_waits(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(authenticator, "time", SimpleNamespace(sleep=waited.append))
    given = WAYS["service_account"](server)
    server.fail("/oauth/token", times=3, status=503)
    assert connector("read", given, select=["labels"]).exit_code == 0
    assert waited == [1, 2, 4]


def test_a_token_in_the_domain_name_is_not_shown(server: Server) -> None:
    given = {"domain_name": "pasted-token.invalid", "email": "a@b.c", "api_token": "pasted-token"}
    assert "domain_name" in failure(server, given)


@pytest.mark.parametrize("way", ["scoped_api_token", "oauth2.0"])
def test_debug_logs_show_no_secret(server: Server, tmp_path: Path, way: str) -> None:
    given = WAYS[way](server)
    catalog = {"streams": [configured("labels")]}
    files = options(tmp_path, config=given, catalog=catalog)
    done = subprocess.run(
        [sys.executable, "-m", "source_confluence", "read", "--debug", *files],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if '"type":"CONTROL"' not in line]
    assert [line for line in lines if "Making outbound API request" in line], "the log has no debug lines"
    assert [line for line in lines if '"type":"RECORD"' in line]
    assert_no_secret(server, given, "\n".join([*lines, done.stderr]))


# The file of the configuration


def commands(directory: Path, given: Config) -> tuple[Path, list[Output]]:
    """Run check, discover and read with the same files, as the README does."""
    files = options(directory, config=given, catalog={"streams": [configured("labels")]})
    outputs = [run_args([command, *files[:2]]) for command in ("check", "discover")]
    return directory / "config.json", [*outputs, run_args(["read", *files])]


def test_the_file_gets_each_new_refresh_token(server: Server, tmp_path: Path) -> None:
    app = server.oauth_app(EVERY_SCOPE, client_id="of-a-file")
    given = {**oauth(server, app), "space_keys": [], "note": "\u00fc"}
    path, outputs = commands(tmp_path, given)
    assert [output.exit_code for output in outputs] == [0, 0, 0]
    assert outputs[0].connection["status"] == "SUCCEEDED"
    assert [request.status for request in server.access.requests] == [200]  # none while the token works
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept["credentials"]["refresh_token"] == app.refresh_token
    for name in ("access_token", "token_expiry_date", "refresh_token"):
        assert kept["credentials"].pop(name)
    given["credentials"].pop("refresh_token")
    assert kept == given
    assert {each.name for each in tmp_path.iterdir()} == {"config.json", "catalog.json"}


def test_the_file_gets_the_refresh_token_of_a_check_without_the_command_line(
    server: Server, tmp_path: Path
) -> None:
    app = server.oauth_app(EVERY_SCOPE, client_id="of-a-program")
    given, first = oauth(server, app), app.refresh_token
    (tmp_path / "config.json").write_text(json.dumps(given), encoding="utf-8")
    source = SourceConfluence(config=given, config_path=str(tmp_path / "config.json"))
    assert source.check(LOGGER, given).status.value == "SUCCEEDED"
    kept = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert kept["credentials"]["refresh_token"] == app.refresh_token != first


def test_the_file_keeps_its_permissions_and_its_links(server: Server, tmp_path: Path) -> None:
    files = options(tmp_path, config=oauth(server))
    path = (tmp_path / "config.json").rename(tmp_path / "secret.json")
    path.chmod(0o640)
    (tmp_path / "config.json").symlink_to(path)
    before = path.read_text(encoding="utf-8")
    assert run_args(["check", *files]).connection["status"] == "SUCCEEDED"
    assert (tmp_path / "config.json").is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_text(encoding="utf-8") != before


def test_a_named_pipe_is_not_replaced_by_a_file_with_secrets(server: Server, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    (tmp_path / "link.json").symlink_to("config.json")
    given = json.dumps(oauth(server))
    writer = Thread(target=(tmp_path / "config.json").write_text, args=(given,), daemon=True)
    writer.start()
    output = run_args(["check", "--config", str(tmp_path / "link.json")])
    assert output.connection["status"] == "SUCCEEDED"
    assert (tmp_path / "config.json").is_fifo()


def test_a_file_that_cannot_be_replaced_stays_whole(server: Server, tmp_path: Path) -> None:
    given = oauth(server)
    (tmp_path / ".config.json.new").mkdir()
    path, outputs = commands(tmp_path, given)
    assert outputs[0].connection["status"] == "SUCCEEDED"
    assert json.loads(path.read_text(encoding="utf-8")) == given
    log = next(h.stream for h in logging.getLogger().handlers if type(h) is logging.StreamHandler)
    assert "The next refresh token could not be written to config.json" in log.getvalue()


@pytest.mark.parametrize("expiry", [None, "", "soon", "2999-01-01T00:00:00Z"])
def test_a_check_renews_no_token_that_works(server: Server, expiry: str | None) -> None:
    app = server.oauth_app(EVERY_SCOPE, client_id=f"works-{expiry}")
    known = {} if expiry is None else {"token_expiry_date": expiry}
    output = run("check", server, oauth(server, app, access_token=server.access.issue(app), **known))
    assert output.connection == {"status": "SUCCEEDED"}
    assert (controls(output), server.access.requests) == ([], [])
