"""Error messages for a person; one stream's error does not stop the other streams."""

from __future__ import annotations

import io
import json
import re
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest
from airbyte_cdk.sources.streams.http import rate_limiting

from common.connector import LOGGER, STREAMS, Output, config_for, configured, connector, run_args
from fake_confluence import Server, company
from source_confluence.components import api_budget
from source_confluence.config import validate
from source_confluence.source import SourceConfluence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airbyte_cdk.models import ConnectorSpecification

TOKEN = "token-that-is-secret"
SPACES, GROUP, AUDIT = "/wiki/api/v2/spaces", "/wiki/rest/api/group", "/wiki/rest/api/audit"
EVERYTHING = "."


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    with Server(company(small=True), token=TOKEN) as running:
        yield running


@pytest.fixture
def server(site: Server) -> Iterator[Server]:
    yield site
    site.heal()
    site.log.clear()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the waits between retries instead of sleeping; after a 429, delay other requests only shortly."""
    taken: list[float] = []
    monkeypatch.setattr(api_budget, "LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(rate_limiting, "time", SimpleNamespace(sleep=taken.append))
    return taken


@pytest.fixture(autouse=True, scope="module")
def _no_secret_in_the_log(log: io.StringIO) -> Iterator[None]:
    LOGGER.info("The log is kept.")
    yield
    assert "The log is kept." in log.getvalue()
    assert TOKEN not in log.getvalue()


def clean(output: Output) -> Output:
    """Check what is true of every run: no secret, no traceback, only Airbyte messages on stdout."""
    shown = "\n".join([json.dumps(output.messages), output.stderr])
    assert TOKEN not in shown
    assert "Traceback" not in output.stderr
    assert output.other == []
    return output


def check(config: dict[str, Any]) -> str:
    """Return the message of a check that fails, as a person reads it."""
    connection = clean(connector("check", config)).connection
    assert connection["status"] == "FAILED"
    sentence: str = connection["message"]
    assert "<" not in sentence
    assert "Exception" not in sentence
    return sentence


def read(config: dict[str, Any], *names: str, **more: Any) -> Output:
    return clean(connector("read", config, select=names, **more))


def by_stream(output: Output) -> dict[str, list[str]]:
    """Return the messages of the error traces that name a stream."""
    errors: dict[str, list[str]] = {}
    for message in output.messages:
        if message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
            error = message["trace"]["error"]
            name = (error.get("stream_descriptor") or {}).get("name")
            if name:
                errors.setdefault(name, []).append(error["message"])
    return errors


# Credentials


def test_a_wrong_token_fails_the_check(server: Server) -> None:
    sentence = check({**config_for(server), "api_token": f"not-{TOKEN}"})
    assert "also does so for a wrong, expired or revoked credential" in sentence
    assert "Check email and api_token" in sentence
    assert "It came after" not in sentence


def test_the_last_sentence_names_every_stream_that_failed(server: Server) -> None:
    server.fail("/wiki/rest/api/group", status=401, body=b'{"code":401}', times=None)
    server.fail("/wiki/rest/api/audit", status=403, times=None)
    output = read({**config_for(server), "space_keys": ["HW"]}, "group", "audit", "space")
    assert output.statuses == {"group": "INCOMPLETE", "audit": "INCOMPLETE", "space": "COMPLETE"}
    assert "group: " in output.errors[-1]
    assert "audit: " in output.errors[-1]


def test_the_key_of_a_space_is_no_message_of_the_system(server: Server) -> None:
    output = read({**config_for(server), "space_keys": ["SOCKS"]}, "space")
    assert "SOCKS" in output.errors[-1]
    assert "HTTPS_PROXY" not in output.errors[-1]


def test_a_wrong_token_fails_every_stream(server: Server) -> None:
    names = ("space", "group", "audit", "site_info", "space_labels", "page_views", "classification_levels")
    output = read({**config_for(server), "api_token": f"not-{TOKEN}"}, *names)
    assert output.exit_code == 1
    assert output.statuses == dict.fromkeys(names, "INCOMPLETE")
    assert not output.records
    errors = by_stream(output)
    for name in names:
        assert all("api_token" in sentence for sentence in errors[name]), name
    assert "404" in errors["space"][0]
    assert "Current user not permitted to use Confluence" in errors["group"][0]
    assert "administrator" not in "".join(errors["audit"])


LEVELS = ("page_classification_levels", "space_classification_levels", "tree_item_classification_levels")


def test_content_without_a_level_is_requested_once_and_is_not_counted_as_deleted(server: Server) -> None:
    output = read(config_for(server), *LEVELS)
    assert (output.exit_code, output.errors) == (0, [])
    requested = server.requests_to("/classification-level")
    assert len(requested) == len({request.target for request in requested})
    for name in LEVELS:
        assert {200, 404} == {r.status for r in server.requests_to(STREAMS[name].operations[0].path)}
        assert output.records[name]
    assert not re.search("parents were skipped", json.dumps(output.messages))


def test_the_error_for_an_account_without_access_says_so(server: Server) -> None:
    body = json.dumps({"message": "Current user not permitted to use Confluence", "statusCode": 403})
    server.fail(EVERYTHING, times=None, status=403, body=body.encode())
    assert "its account has no access to Confluence" in check(config_for(server))


@pytest.mark.parametrize("command", ["check", "read"])
def test_a_secret_in_a_response_is_not_shown(server: Server, command: str) -> None:
    body = json.dumps({"message": f"not permitted: {server.email}:{TOKEN}", "statusCode": 403})
    server.fail(EVERYTHING, times=None, status=403, body=body.encode())
    output = clean(connector(command, config_for(server), select=["space"]))
    shown = output.stderr if command == "read" else output.connection["message"]
    assert "Confluence does not let this account read this stream (403)" in shown


@pytest.mark.parametrize("form", [str, quote_plus])
def test_a_secret_with_unusual_characters_is_not_shown(server: Server, form: Callable[[str], str]) -> None:
    server.token = token = "ab+cd'ef\\gh"
    body = json.dumps({"message": f"not permitted: {form(token)}", "statusCode": 403})
    server.fail(EVERYTHING, times=None, status=403, body=body.encode())
    output = connector("read", config_for(server), select=["space"])
    assert "Confluence says: not permitted: ****." in output.stderr
    assert {*re.findall(r"permitted: (\w|[*]{4})", json.dumps(output.messages))} == {"****"}


# Addresses


@pytest.mark.parametrize("address", ["nonexistent.invalid", "http://127.0.0.1:1"])
def test_the_error_for_an_unreachable_site_names_it(server: Server, address: str) -> None:
    sentence = check({**config_for(server), "domain_name": address})
    assert address.removeprefix("http://") in sentence
    assert "domain_name" in sentence
    assert "ConnectionPool" not in sentence


def test_a_read_of_an_unreachable_site_fails_with_the_same_message(server: Server) -> None:
    config = {**config_for(server), "domain_name": "nonexistent.invalid", "_max_retries": 0}
    output = read(config, "group")
    assert output.exit_code == 1
    assert output.statuses == {"group": "INCOMPLETE"}
    assert "nonexistent.invalid" in output.stderr
    assert "domain_name" in output.stderr


HTML = b"<!doctype html><title>Sign in</title><p>Welcome"


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/html;charset=UTF-8", HTML),
        (404, "text/html", HTML),
        (200, "application/json", b'{"version": "9.0", "name": "Jira"}'),
        (200, "application/json", b"[]"),
        (200, "text/plain", b""),
    ],
    ids=["a page", "a page that says not found", "another object", "a list", "nothing"],
)
def test_a_response_that_is_not_from_confluence_fails_the_check(
    server: Server, status: int, content_type: str, body: bytes
) -> None:
    server.fail(EVERYTHING, times=None, status=status, body=body, headers={"Content-Type": content_type})
    assert "domain_name" in check(config_for(server))


def test_a_response_that_is_not_from_confluence_fails_every_kind_of_stream(server: Server) -> None:
    server.fail(EVERYTHING, times=None, body=HTML, headers={"Content-Type": "text/html"})
    names = ("users", "site_info", "classification_levels", "labels", "tree_items")
    output = read(config_for(server), *names)
    assert output.statuses == dict.fromkeys(names, "INCOMPLETE")
    assert not output.records
    assert "not Confluence data" in by_stream(output)["site_info"][0]


# Invalid responses


# A list that other streams use as parent (the CDK caches it), one that none uses, an object and an array.
SHAPES = {
    "group": GROUP,
    "users": "/wiki/rest/api/search/user",
    "site_info": "/wiki/rest/api/settings/systemInfo",
}
SHAPES["classification_levels"] = "/wiki/api/v2/classification-levels"


def half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def test_a_stream_fails_if_every_response_is_cut_short(server: Server) -> None:
    for operation in SHAPES.values():
        server.fail(operation, times=None, body=half)
    output = read(config_for(server, _max_retries=1), *SHAPES)
    assert output.exit_code == 1
    assert output.statuses == dict.fromkeys(SHAPES, "INCOMPLETE")
    assert not output.records
    assert all("is incomplete" in by_stream(output)[name][0] for name in SHAPES)


def test_429_waits_for_retry_after_and_continues(server: Server, waits: list[float]) -> None:
    server.fail(GROUP, times=1, status=429, headers={"Retry-After": "37"})
    output = read(config_for(server), "group")
    assert (output.exit_code, output.statuses) == (0, {"group": "COMPLETE"})
    assert [request.status for request in server.requests_to(GROUP)] == [429, 200]
    assert len(waits) == 1
    assert 37 <= waits[0] <= 38


@pytest.mark.parametrize("match", ["/user/current", r"/pages\?", r"pages\?id=", r"/labels/\d+/pages"])
@pytest.mark.parametrize(("status", "times"), [(429, 2), (500, None)])
def test_only_streams_of_the_catalog_have_a_status_or_an_error(
    server: Server, match: str, status: int, times: int | None
) -> None:
    """The requests of a parent, and for the spaces of records, are on behalf of a stream."""
    selected = {"page_likes", "footer_comments", "labels"}
    server.fail(match, times=times, status=status, body=b"")
    output = read(config_for(server, exclude_space_keys=["PEOPLE"]), *sorted(selected))
    traces = [m["trace"] for m in output.messages if m["type"] == "TRACE"]
    named = [(trace.get("stream_status") or trace["error"]).get("stream_descriptor") for trace in traces]
    assert {each["name"] for each in named if each} == selected
    assert output.exit_code == (status == 500 and match != "/user/current")
    assert "look_up_of_spaces" not in output.stderr
    assert "\x1f" not in json.dumps(output.messages)
    assert all(len(sentence) < 2_000 for sentence in output.errors)


def test_500_on_every_request_fails_after_the_retries(server: Server, waits: list[float]) -> None:
    server.fail(GROUP, times=None, status=500)
    output = read(config_for(server, _max_retries=3), "group", "users")
    assert output.statuses == {"group": "INCOMPLETE", "users": "COMPLETE"}
    assert len(server.requests_to(GROUP)) == 4
    assert waits == sorted(waits)
    assert "Try again later" in by_stream(output)["group"][0]


# Permissions

ADMINISTRATOR = ["space administrator", "deselect the stream"]
ROLES = ["role-based access", "deselect the stream"]
PLAN = ["Premium or Enterprise", "deselect the stream"]
DENIED = {
    "audit": (AUDIT, ["Confluence administrator", "a plan that has the audit log", "deselect the stream"]),
    "page_views": ("/analytics/.*/views", PLAN),
    "page_viewers": ("/analytics/.*/viewers", PLAN),
    "space_watchers": ("/wiki/rest/api/space/[^/]+/watch", ADMINISTRATOR),
    "page_watchers": ("/notification/child-created", ADMINISTRATOR),
    "space_roles": ("/wiki/api/v2/space-roles", ROLES),
    "space_role_assignments": ("/role-assignments", ROLES),
    "classification_levels": ("/classification-levels", ["(Enterprise)", "deselect the stream"]),
    "space_permissions": ("/spaces/[0-9]+/permissions", ["permission", "deselect the stream"]),
}
ALLOWED = ("group", "labels", "page_index")


@pytest.fixture(scope="module")
def denied(site: Server) -> Output:
    for match, _ in DENIED.values():
        site.deny(match)
    output = read(config_for(site), *DENIED, *ALLOWED)
    site.heal()
    site.log.clear()
    return output


@pytest.mark.parametrize("name", DENIED)
def test_a_forbidden_stream_says_what_it_needs(denied: Output, name: str) -> None:
    errors = by_stream(denied)[name]
    for words in DENIED[name][1]:
        assert words in errors[0]
    assert "The current user does not have the permission that this needs" in errors[0]
    assert not denied.records[name]
    assert denied.statuses[name] == "INCOMPLETE"


def test_a_forbidden_stream_has_one_error(denied: Output) -> None:
    assert {name: len(errors) for name, errors in by_stream(denied).items()} == dict.fromkeys(DENIED, 1)


@pytest.mark.parametrize("name", ALLOWED)
def test_the_other_streams_are_read(denied: Output, name: str) -> None:
    assert denied.exit_code == 1
    assert denied.statuses[name] == "COMPLETE"
    assert denied.records[name]


@pytest.mark.parametrize("name", DENIED)
def test_stderr_names_each_failed_stream_and_its_reason(denied: Output, name: str) -> None:
    assert re.search(rf"\b{name}: .*{re.escape(DENIED[name][1][0])}", denied.stderr)
    assert "AirbyteTracedException" not in denied.stderr
    assert "'GET' request" not in denied.stderr


# Configurations


@pytest.fixture(scope="module")
def spec() -> ConnectorSpecification:
    return SourceConfluence().spec(LOGGER)


COMPLETE = {"email": "a@example.com", "api_token": TOKEN, "domain_name": "example.atlassian.net"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"email": None}, "lacks email"),
        ({"api_token": None}, "lacks api_token"),
        ({"domain_name": None}, "lacks domain_name"),
        ({"api_token": {"secret": TOKEN}}, "api_token must be a text"),
        ({"email": 5}, "email must be a text"),
        ({"domain_name": ["a"]}, "domain_name must be a text"),
        ({"num_workers": 0}, "num_workers must be between 1 and 25"),
        ({"num_workers": 26}, "num_workers must be between 1 and 25"),
        ({"num_workers": 2.5}, "num_workers must be a whole number"),
        ({"body_format": "view"}, "body_format must be one of: storage, atlas_doc_format, none"),
        ({"rendered_format": "storage"}, "rendered_format must be one of: view, export_view, styled_view"),
        ({"page_size": 251}, "page_size must be between 1 and 250"),
        ({"space_keys": 5}, "space_keys must be a list"),
        ({"space_keys": ['ENG") or type=page']}, "space_keys.0 must be a space key"),
        ({"start_date": "yesterday"}, "start_date must be a valid date from 1900 on"),
        ({"domain_name": ""}, "domain_name must be a name such as example.atlassian.net"),
        ({"domain_name": "http://example.atlassian.net"}, "http:// only for localhost"),
        ({"credentials": {"email": "a"}}, "credentials lacks auth_type, which says the way to sign in."),
        (
            {"credentials": {"auth_type": "password"}},
            "auth_type must be one of: api_token, scoped_api_token, oau",
        ),
        (
            {"credentials": {"auth_type": "oauth2.0", "client_id": "a"}},
            "credentials lacks client_secret. The ",
        ),
    ],
)
def test_an_invalid_configuration_is_refused_with_a_reason(
    spec: ConnectorSpecification, change: dict[str, Any], words: str
) -> None:
    config = {name: value for name, value in {**COMPLETE, **change}.items() if value is not None}
    validate(spec.connectionSpecification, COMPLETE)
    with pytest.raises(Exception, match=re.escape(words)) as caught:
        validate(spec.connectionSpecification, config)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "change", "words"),
    [
        ("check", {"domain_name": "http://example.com"}, "http:// only for localhost"),
        ("read", {"domain_name": "http://localhost.example.com"}, "http:// only for localhost"),
        ("check", {"num_workers": "many"}, "num_workers must be a whole number"),
    ],
)
def test_a_refused_configuration_sends_nothing(
    monkeypatch: pytest.MonkeyPatch, command: str, change: dict[str, Any], words: str
) -> None:
    requested: list[str] = []

    def resolve(host: str, *_: Any, **__: Any) -> None:
        requested.append(host)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    output = clean(connector(command, {**COMPLETE, **change}, select=["space"]))
    shown = [output.connection["message"]] if command == "check" else [*output.errors, output.stderr]
    assert shown
    assert all(words in sentence for sentence in shown)
    assert not [host for host in requested if "example" in host]


# Files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read. `source-confluence --help` shows one. The system says: No such file"),
        ("{'email': 'a'}", "does not contain valid JSON"),
        ("", "does not contain valid JSON"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ('{"space_keys": ["A"], "space_keys": []}', "The parser says: space_keys is named twice."),
        ('{"page_size": ' + "9" * 5000 + "}", "does not contain valid JSON"),
    ],
    ids=["missing", "not JSON", "empty", "a list", "null", "twice", "a very long number"],
)
def test_the_error_for_an_invalid_configuration_file_names_it(
    tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    output = clean(run_args(["check", "--config", str(path)]))
    assert output.exit_code == 1
    assert output.connection["status"] == "FAILED"
    for shown in (output.stderr, output.connection["message"], *output.errors):
        assert words in shown
        assert str(path) in shown
        assert "--help" in shown


GOOD_CATALOG = json.dumps({"streams": [configured("group")]})
NO_MODE = {"stream": {"name": "group", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}}


@pytest.mark.parametrize(
    ("catalog", "state", "words"),
    [
        (None, None, "catalog"),
        ("{", None, "catalog"),
        ("[]", None, "catalog"),
        ("null", None, "catalog"),
        ('{"streams": 5}', None, "catalog"),
        ('{"stream": []}', None, "catalog"),
        (json.dumps({"streams": [NO_MODE]}), None, "catalog"),
        (json.dumps({"streams": [{**configured("group"), "sync_mode": "sideways"}]}), None, "catalog"),
        (GOOD_CATALOG, "{", "state"),
        (GOOD_CATALOG, '{"group": {}}', "state"),
        (GOOD_CATALOG, "5", "state"),
        (GOOD_CATALOG, '[{"type": "STREAM"}]', "state"),
        (GOOD_CATALOG, '[{"type": "STREAM", "stream": {"stream_state": {}}}]', "state"),
    ],
)
def test_an_invalid_catalog_or_state_is_refused_with_a_reason(
    server: Server, tmp_path: Path, catalog: str | None, state: str | None, words: str
) -> None:
    args = ["read"]
    files = {"config": json.dumps(config_for(server)), "catalog": catalog, "state": state}
    for name, text in files.items():
        path = tmp_path / f"{name}.json"
        if text is not None:
            path.write_text(text)
        if text is not None or name == "catalog":
            args += [f"--{name}", str(path)]
    output = clean(run_args(args))
    assert output.exit_code == 1
    assert words in output.stderr
    assert "Something went wrong" not in output.stderr
    assert all(words in sentence for sentence in output.errors)
    assert output.errors
    assert server.log == []


def test_an_invalid_cursor_value_is_refused_with_a_reason(server: Server) -> None:
    descriptor = {"name": "attachments"}
    state = [
        {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": {"updatedAt": "soon"}}}
    ]
    output = read(config_for(server), "attachments", "group", state=state, incremental=True)
    assert output.exit_code == 1
    assert "state" in output.stderr
    assert not [sentence for sentence in output.errors if "Something went wrong" in sentence]


def test_a_catalog_with_an_unknown_stream_reads_the_others(server: Server) -> None:
    output = read(config_for(server), "pagse", "group")
    assert output.exit_code == 1
    assert output.statuses["group"] == "COMPLETE"
    assert output.records["group"]
    assert "pagse: The connector has no such stream" in output.stderr
    assert output.errors == [output.stderr.removeprefix("source-confluence: ").strip()]


def test_a_check_sends_few_requests_and_names_every_refused_stream(server: Server) -> None:
    server.deny("/wiki/api/v2/footer-comments")
    status = connector("check", config_for(server)).connection
    assert len(server.log) < len(STREAMS) / 2
    named = {name for name in STREAMS if re.search(rf"\b{name}\b", status["message"])}
    assert named == {name for name in STREAMS if "_comment" in name} | {"named_users"}


def test_a_state_in_which_pyairbyte_names_fields_twice_is_used(server: Server, tmp_path: Path) -> None:
    stream = '{"stream_descriptor": {"name": "group"}, "stream_state": {}}'
    state = f'[{{"type": "STREAM", "stream": {stream}, "global_": null, "data": null, "global_": null}}]'
    args = ["read"]
    for name, text in {
        "config": json.dumps(config_for(server)),
        "catalog": GOOD_CATALOG,
        "state": state,
    }.items():
        path = tmp_path / f"{name}.json"
        path.write_text(text)
        args += [f"--{name}", str(path)]
    assert run_args(args).exit_code == 0
