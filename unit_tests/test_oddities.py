"""Oddities of Confluence's API: see docs/oddities.md. More are in test_openapi.py and test_parameters.py."""

from __future__ import annotations

import itertools
import json
import re
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from airbyte_cdk.sources.streams.http import rate_limiting

from common.connector import ROOT, STREAMS, Output, config_for, connector, key_of
from fake_confluence import Server, company, generate
from source_confluence.components import partition_router
from tools.parameters import decisions

if TYPE_CHECKING:
    from collections.abc import Callable

V1, V2 = "/wiki/rest/api", "/wiki/api/v2"
# No other stream has these as parents, so the CDK does not cache their responses.
TASKS, USERS = f"{V2}/tasks", f"{V1}/search/user"
SYSTEM_INFO = f"{V1}/settings/systemInfo"
WATCHERS = {"page_watchers": f"{V1}/content/{{id}}/notification/child-created"}
WATCHERS["space_watchers"] = f"{V1}/space/{{spaceKey}}/watch"
CUSTOM_TYPES = ["ac:com.norrvik.survey:answer", "ac:com.norrvik.risks:risk"]


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the waits between retries instead of sleeping."""
    taken: list[float] = []
    monkeypatch.setattr(rate_limiting, "time", SimpleNamespace(sleep=taken.append))
    return taken


def read(server: Server, *names: str, **more: Any) -> Output:
    output = connector("read", config_for(server, **more), select=names)
    assert "Traceback" not in output.stderr
    return output


def complete(server: Server, *names: str, **more: Any) -> Output:
    output = read(server, *names, **more)
    assert (output.errors, output.statuses) == ([], dict.fromkeys(names, "COMPLETE"))
    return output


def failure(server: Server, name: str, **more: Any) -> str:
    """Return the error message of a stream that fails."""
    output = read(server, name, **more)
    assert (output.exit_code, output.statuses) == (1, {name: "INCOMPLETE"})
    assert "UndefinedError" not in output.stderr
    return " ".join(output.errors)


def in_json(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """Change a JSON body: `change` modifies the parsed body, or returns another one."""

    def made(genuine: bytes) -> bytes:
        body = json.loads(genuine)
        return json.dumps(change(body) or body).encode()

    return made


def living(server: Server, collection: str) -> list[dict[str, Any]]:
    return [r for r in server.site.records(collection) if r["status"] in ("current", "archived")]


def logged(output: Output) -> list[str]:
    return [message["log"]["message"] for message in output.messages if message["type"] == "LOG"]


def not_found(title: str) -> bytes:
    error = {"status": 404, "code": "NOT_FOUND", "title": title, "detail": None}
    return json.dumps({"errors": [error]}).encode()


# ---------------------------------------------------------------- Wrong or too narrow requests


def test_page_watchers_are_those_of_the_page_itself(server: Server) -> None:
    records = complete(server, "page_watchers").records["page_watchers"]
    pages = {page["id"] for page in living(server, "pages")}
    held = [watch for watch in server.site.records("page_watchers") if str(watch["contentId"]) in pages]
    expected = {(str(watch["contentId"]), watch["watcher"]["accountId"]) for watch in held}
    assert sorted(key_of("page_watchers", record) for record in records) == sorted(expected)
    assert "contentId" in STREAMS["page_watchers"].schema["properties"]


def test_guests_are_users_and_who_has_no_access_is_not(server: Server) -> None:
    users = server.site.records("users")
    users[0]["_permissionTypes"] = ["all"]
    server.site.changed("users")
    found = [user["accountId"] for user in complete(server, "users").records["users"]]
    listed = [user["accountId"] for user in users if len(user["_permissionTypes"]) > 1]
    assert sorted(found) == sorted(listed)


def test_users_beyond_the_search_limit_are_read_or_reported() -> None:
    with Server(generate(pages=0, users=10_030, groups=2)) as server:
        output = read(server, "users")
        everyone = {user["accountId"] for user in server.site.records("users")}
    if output.statuses == {"users": "COMPLETE"}:
        found = [user["accountId"] for user in output.records["users"]]
        assert (len(found), set(found)) == (len(everyone), everyone)
    else:
        assert re.search("10[, ]?000", " ".join(output.errors))


NARROW = [(name, entry) for entry in decisions() if entry.send for name in entry.streams]


@pytest.mark.parametrize(("name", "entry"), NARROW, ids=[name for name, _ in NARROW])
def test_values_that_a_default_excludes_are_requested(server: Server, name: str, entry: Any) -> None:
    complete(server, name)
    (parameter,) = entry.parameters
    (operation,) = (o for o in STREAMS[name].operations if set(entry.parameters) <= set(o.parameters))
    requested = [request.values(parameter) for request in server.requests_to(operation.path)]
    assert set(entry.send) <= {word for values in requested for word in re.findall(r"\w+", " ".join(values))}
    assert all(requested)


@pytest.mark.parametrize("body_format", ["storage", "atlas_doc_format"])
def test_custom_content_has_the_body_format_of_its_type(server: Server, body_format: str) -> None:
    given = {"custom_content_types": CUSTOM_TYPES, "body_format": body_format}
    records = complete(server, "custom_content", **given).records["custom_content"]
    kept = {record["id"]: record["_body"] for record in server.site.records("custom_content")}
    assert {record["id"] for record in records} == kept.keys()
    assert {key for record in records for key in record["body"]} == {body_format, "raw"}
    for record in records:
        ((kind, body),) = record["body"].items()
        assert body["value"] == kept[record["id"]][kind]


def test_lists_are_sent_in_the_documented_form(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_router, "GROUPS", 1)  # both spaces in one list
    spaces = server.site.records("spaces")[:2]
    ids = [space["id"] for space in spaces]
    output = complete(server, "tasks", "pages", space_keys=[space["key"] for space in spaces])
    for name in ("tasks", "pages"):
        held = {r["id"] for r in server.site.records(name) if r["spaceId"] in ids}
        held &= {r["id"] for r in server.site.records(name) if r["status"] not in ("trashed", "deleted")}
        assert {record["id"] for record in output.records[name]} == held
    assert {tuple(sorted(r.values("space-id"))) for r in server.requests_to(TASKS)} == {tuple(sorted(ids))}
    (joined,) = {tuple(r.values("space-id")) for r in server.requests_to(f"{V2}/pages")}
    assert sorted(",".join(joined).split(",")) == sorted(ids)


def test_global_templates_need_no_administrator(server: Server) -> None:
    server.deny(SYSTEM_INFO)
    records = complete(server, "content_templates").records["content_templates"]
    held = server.site.records("content_templates")
    assert [template for template in held if not template["_spaceKey"]]
    assert sorted(r["templateId"] for r in records) == sorted(template["templateId"] for template in held)


INDEXES = ("page_index", "blog_post_index", "footer_comment_replies", "inline_comment_replies")


def test_every_emitted_field_is_declared(server: Server) -> None:
    output = complete(server, *INDEXES)
    for name in INDEXES:
        emitted = {field for record in output.records[name] for field in record}
        assert emitted
        assert emitted - STREAMS[name].schema["properties"].keys() == set(), name


# ---------------------------------------------------------------- Keys and items


def without_accounts(body: dict[str, Any]) -> None:
    """Remove the watcher of one item, and the account of another."""
    if len(body["results"]) > 1:
        body["results"][0]["watcher"] = None
        del body["results"][1]["watcher"]["accountId"]


@pytest.mark.parametrize("name", WATCHERS)
def test_a_watcher_without_account_has_no_key(server: Server, name: str) -> None:
    server.fail(WATCHERS[name], times=None, body=in_json(without_accounts))
    output = read(server, name)
    assert output.records[name]
    assert not [record for record in output.records[name] if record.get("accountId") == "None"]
    assert output.statuses == {name: "INCOMPLETE"}
    assert "without" in output.stderr
    assert "accountId" in output.stderr


def test_an_assignment_without_principal_has_no_key(server: Server) -> None:
    change = in_json(lambda body: body["results"][0].update(principal=None))
    server.fail(f"{V2}/spaces/{{id}}/role-assignments", body=change)
    output = read(server, "space_role_assignments")
    assert output.records["space_role_assignments"]
    assert not [r for r in output.records["space_role_assignments"] if "None" in key_of_any(r)]
    assert output.statuses == {"space_role_assignments": "INCOMPLETE"}


def key_of_any(record: dict[str, Any]) -> set[Any]:
    return {record.get("principalId"), record.get("principalType")}


def test_a_label_without_prefix_has_no_label_prefix(server: Server) -> None:
    change = in_json(lambda body: [label.update(prefix=None) for label in body["results"]] and None)
    server.fail(r"/labels\?", times=None, body=change)
    records = complete(server, "page_labels").records["page_labels"]
    assert {record.get("labelPrefix") for record in records} == {None}


def test_an_item_without_id_below_a_label_has_no_key(server: Server) -> None:
    def change(body: dict[str, Any]) -> None:
        for page in body["results"][:1]:
            page["id"] = None

    server.fail(f"{V2}/labels/{{id}}/pages", times=None, body=in_json(change))
    output = read(server, "page_labels")
    assert not [record for record in output.records["page_labels"] if record.get("pageId") == "None"]
    assert output.statuses == {"page_labels": "INCOMPLETE"}


def first_none(body: dict[str, Any]) -> None:
    body["results"].insert(0, None)


def first_without(field: str) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        if body["results"]:
            body["results"].insert(0, {**body["results"][0], field: None})

    return change


NULL_ROWS = {
    "users": (USERS, first_without("user")),
    "users, a row": (USERS, first_none),
    "tree_item_index": (f"{V1}/search", first_without("content")),
    "tree_item_index, a row": (f"{V1}/search", first_none),
    "group_members": (f"{V1}/group/{{groupId}}/membersByGroupId", first_none),
    "content_restrictions": (f"{V1}/content/search", first_none),
}


@pytest.mark.parametrize("case", NULL_ROWS)
def test_a_null_item_is_skipped(server: Server, case: str) -> None:
    name, (operation, change) = case.partition(",")[0], NULL_ROWS[case]
    expected = complete(server, name).records[name]
    server.fail(operation, times=None, body=in_json(change))
    found = complete(server, name).records[name]
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, expected))


def types_of(schema: dict[str, Any], place: str = "") -> list[tuple[str, set[str]]]:
    """Return the types of each field of a schema except null, including nested fields."""
    found = []
    for name, field in schema.get("properties", {}).items():
        kinds = field.get("type", [])
        found.append((f"{place}{name}", {*([kinds] if isinstance(kinds, str) else kinds)} - {"null"}))
        found += types_of(field, f"{place}{name}.")
        found += types_of(field.get("items", {}), f"{place}{name}[].")
    return found


@pytest.mark.parametrize("name", STREAMS)
def test_a_field_has_one_type(name: str) -> None:
    found = types_of(STREAMS[name].schema)
    assert found
    assert [(place, kinds) for place, kinds in found if len(kinds) != 1] == []


@pytest.mark.parametrize("name", ["space_properties", "page_properties", "blog_post_properties"])
def test_a_value_of_any_type_becomes_json_text(server: Server, name: str) -> None:
    trashed = {r["id"] for r in (*server.site.records("pages"), *server.site.records("blog_posts"))}
    trashed -= {r["id"] for r in (*living(server, "pages"), *living(server, "blog_posts"))}
    parent = {"page_properties": "_pageId", "blog_post_properties": "_blogPostId"}.get(name, "_spaceId")
    held = {r["id"]: r["value"] for r in server.site.records(name) if r[parent] not in trashed}
    records = complete(server, name).records[name]
    assert {record["id"] for record in records} == held.keys()
    for record in records:
        texts = {field: value for field, value in record.items() if isinstance(value, str)}
        wanted = json.dumps(held[record["id"]], sort_keys=True)
        if held[record["id"]] is not None:
            assert wanted in {normal(text) for text in texts.values()}, record


def normal(text: str) -> str | None:
    """Return JSON text with sorted keys; None if it is not JSON."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return None


# The cursor as it is written in the link, and the cursor that is sent.
CURSORS = {
    "1e5": "1e5",
    "12_3": "12_3",
    "0x1F": "0x1F",
    "007": "007",
    "None": "None",
    "True": "True",
    "(1,)": "(1,)",
    "'a'": "'a'",
    "a%2Cb": "a,b",
    "a%7Cb": "a|b",
    "a%252Cb": "a%2Cb",
    "a%25b": "a%b",
    "a%20b": "a b",
}


def test_a_cursor_is_decoded_once_and_stays_text(server: Server) -> None:
    for number, cursor in enumerate(CURSORS):
        body = {"results": [{"id": str(number)}], "_links": {"next": f"{TASKS}?cursor={cursor}&limit=250"}}
        server.fail(TASKS, status=200, body=json.dumps(body).encode())
    server.fail(TASKS, status=200, body=b'{"results": [{"id": "end"}], "_links": {}}')
    output = complete(server, "tasks")
    assert [request.values("cursor") for request in server.requests_to(TASKS)] == [
        [],
        *([text] for text in CURSORS.values()),
    ]
    assert len(output.records["tasks"]) == len(CURSORS) + 1


# ---------------------------------------------------------------- Ends, errors and retries

GAVE_UP = "the test has seen enough empty pages"


def endless(server: Server, operation: str, link: str, times: int) -> None:
    """Return empty pages, each with a new link; after this many, fail with a message of the test."""
    numbers = itertools.count(1)

    def empty(_: bytes) -> bytes:
        return json.dumps({"results": [], "_links": {"next": link.format(next(numbers) * 200)}}).encode()

    server.fail(operation, times=times, status=200, body=empty)
    server.fail(operation, times=None, status=400, body=json.dumps({"message": GAVE_UP}).encode())


@pytest.mark.parametrize("name", ["group", "users"])
def test_an_empty_page_ends_a_list_of_v1(server: Server, name: str) -> None:
    (operation,) = STREAMS[name].operations
    link = operation.path.removeprefix("/wiki") + "?next=true&limit=200&start={}"
    endless(server, operation.path, link, 50)
    assert complete(server, name).records[name] == []
    assert len(server.requests_to(operation.path)) <= 2


def test_endless_empty_pages_fail_on_v2(server: Server) -> None:
    endless(server, TASKS, TASKS + "?cursor=at-{}&limit=250", 1_500)
    sentence = failure(server, "tasks")
    assert GAVE_UP not in sentence
    assert "empty" in sentence


def test_some_empty_pages_may_precede_more_records_on_v2(server: Server) -> None:
    for number in range(12):
        body = {"results": [], "_links": {"next": f"{TASKS}?cursor=at-{number}"}}
        server.fail(TASKS, status=200, body=json.dumps(body).encode())
    server.fail(TASKS, status=200, body=b'{"results": [{"id": "7"}], "_links": {}}')
    assert [task["id"] for task in complete(server, "tasks").records["tasks"]] == ["7"]


@pytest.mark.parametrize(("stream", "match"), [("pages", r"/pages\?"), ("named_users", "/user/bulk")])
def test_a_nameless_404_for_a_group_is_not_a_deleted_parent(stream: str, match: str) -> None:
    with Server(generate(pages=500, spaces=60, users=250)) as server:
        server.fail(match, times=None, after=1, status=404, body=not_found("Not Found"))
        assert "credential" in failure(server, stream)


ODD = [{"text": "busy"}, ["busy"], 5, None]


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("message", ODD, ids=["an object", "a list", "a number", "null"])
def test_the_status_decides_for_any_form_of_message(server: Server, status: int, message: Any) -> None:
    body = json.dumps({"message": message, "code": "x", "errors": message}).encode()
    server.fail(USERS, status=status, body=body)
    complete(server, "users")
    assert [request.status for request in server.requests_to(USERS)][:2] == [status, 200]


DEPRECATED = "Basic authentication with passwords is deprecated"
FORMS = {
    "plain text": DEPRECATED,
    "JSON text": json.dumps(DEPRECATED),
    "a list": json.dumps([{"message": DEPRECATED}]),
    "errors as text": json.dumps({"errors": DEPRECATED}),
    "errors as an object": json.dumps({"errors": {"title": DEPRECATED}}),
    "errors as a list of texts": json.dumps({"errors": [DEPRECATED]}),
    "message as an object": json.dumps({"message": {"translation": DEPRECATED}}),
    "message as a list": json.dumps({"message": [DEPRECATED]}),
    "beside other texts": json.dumps({"path": "/x", "ids": ["1"], "errors": [{"title": DEPRECATED}]}),
}


@pytest.mark.parametrize("name", ["users", "space_labels"])
@pytest.mark.parametrize(
    ("form", "status"),
    [*zip(FORMS, itertools.cycle([400, 401, 403, 404]), strict=False), ("beside other texts", 404)],
)  # the form is parsed before the status decides
def test_any_form_of_confluences_message_is_quoted(server: Server, form: str, status: int, name: str) -> None:
    (operation,) = STREAMS[name].operations
    kind = {"Content-Type": "text/plain" if form == "plain text" else "application/json"}
    server.fail(operation.path, times=None, status=status, body=FORMS[form].encode(), headers=kind)
    sentence = failure(server, name)
    assert DEPRECATED in sentence
    assert not re.search(r"[{[]|cannot make sense", sentence)
    requested = [request.target for request in server.requests_to(operation.path)]
    assert len(requested) == len(set(requested)) or status == 404  # a 404 may be retried


@pytest.mark.parametrize("status", [405, 451, 501])
@pytest.mark.parametrize("name", ["space_roles", "space_role_assignments", "classification_levels"])
def test_the_error_for_a_missing_feature_says_so(server: Server, name: str, status: int) -> None:
    (operation,) = STREAMS[name].operations
    server.fail(operation.path, times=None, status=status, body=b"")
    sentence = failure(server, name)
    assert re.search("eselect the stream", sentence)
    assert not re.search("domain_name|report it|try again", sentence, re.IGNORECASE)
    requested = [request.path for request in server.requests_to(operation.path)]
    assert len(requested) == len(set(requested))


def test_a_permanent_failure_says_where_it_occurred(server: Server) -> None:
    keys = [space["key"] for space in server.site.records("spaces")[:2]]
    server.fail(f"{V2}/pages", after=1, times=None, status=400, body=b'{"errors": [{"title": "No"}]}')
    sentence = failure(server, "pages", space_keys=keys, page_size=2)
    assert all(re.search(rf"\b{key}\b", sentence) for key in keys)


def test_a_permanent_failure_below_a_space_names_the_space(server: Server) -> None:
    space = server.site.records("spaces")[2]
    server.fail(
        f"/spaces/{space['id']}/labels", times=None, status=400, body=b'{"errors": [{"title": "No"}]}'
    )
    assert re.search(rf"\b({space['key']}|{space['id']})\b", failure(server, "space_labels"))


# ---------------------------------------------------------------- Other hosts

GOVERNMENT = "acme.atlassian-us-gov-mod.net"
HOSTS = {"api.atlassian-us-gov-mod.com", "auth.atlassian-us-gov-mod.com"}
CREDENTIALS: dict[str, dict[str, str]] = {
    "scoped_api_token": {"email": "a@example.com", "api_token": "secret"},
    "service_account": {"client_id": "client", "client_secret": "secret"},
    "oauth2.0": {"client_id": "client", "client_secret": "secret", "refresh_token": "secret"},
}


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the first host name that is resolved, and end the command."""
    names: list[str] = []

    def resolve(host: str, *_: Any, **__: Any) -> None:
        names.append(host)
        raise RuntimeError(host)  # not retried

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return names


def gateway(domain_name: str, way: str) -> dict[str, Any]:
    credentials = {"auth_type": way, "cloud_id": "11-22", **CREDENTIALS[way]}
    return {"domain_name": domain_name, "credentials": credentials}


def atlassians(names: list[str]) -> set[str]:
    return {name for name in names if "atlassian" in name}


@pytest.mark.parametrize("way", CREDENTIALS)
def test_secrets_for_the_government_cloud_go_only_there(requested: list[str], way: str) -> None:
    connector("check", gateway(GOVERNMENT, way))
    assert atlassians(requested)
    assert atlassians(requested) <= HOSTS


@pytest.mark.parametrize("way", CREDENTIALS)
def test_an_unknown_cloud_gets_no_secret(requested: list[str], way: str) -> None:
    output = connector("check", gateway("acme.atlassian-elsewhere.net", way))
    shown = json.dumps(output.messages) + output.stderr
    assert "domain_name" in shown
    assert atlassians(requested) == set()


def test_the_government_cloud_is_allowed() -> None:
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))
    assert set(metadata["data"]["allowedHosts"]["hosts"]) >= {"*.atlassian-us-gov-mod.net", *HOSTS}


@pytest.mark.parametrize("command", ["check", "read"])
def test_the_error_for_a_renamed_site_names_its_new_host(server: Server, command: str) -> None:
    with Server(company(small=True)) as renamed:
        host = f"localhost:{renamed.port}"
        location = {"Location": f"http://user:password@{host}{V2}/spaces?limit=1"}
        server.fail(".", times=None, how="redirect", status=301, headers=location)
        output = connector(command, config_for(server), select=["space"])
        assert not [request for request in renamed.log if "authorization" in request.headers]
    shown = output.connection["message"] if command == "check" else output.stderr
    assert host in shown
    assert "domain_name" in shown
    assert "credential" not in shown
    assert "user:password" not in json.dumps(output.messages) + output.stderr
