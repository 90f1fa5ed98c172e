"""Response bodies captured from real sites become records that fit the schemas."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from common.connector import SHARED, STREAMS, Output, config_for, connector
from fake_confluence import Server, company

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = SHARED / "examples"
INDEXED = ("id", "status", "title", "spaceId", "parentId", "parentType", "createdAt", "version")
pytestmark = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="the captured bodies are outside the repository"
)


@dataclass
class Capture:
    """A captured body, and the request to which it is replayed.

    Attributes:
        stream: The stream that reads it.
        match: Matches the request.
        body: The whole response body.
        items: The items that become records.
    """

    stream: str
    match: str
    body: dict[str, Any]
    items: list[dict[str, Any]]


def load(name: str) -> Any:
    (path,) = EXAMPLES.glob(f"{name}*.json")
    return json.loads(path.read_text(encoding="utf-8"))


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    return {"results": list(items), "_links": {"base": "https://example.atlassian.net/wiki"}}


def captures() -> dict[str, Capture]:
    """Return every captured body of an operation that a stream calls."""
    spaces, groups, audit = load("v2_spaces_list"), load("v1_cloud_group_list"), load("v1_cloud_audit_list")
    page, user, old = load("v2_pages_list_item"), load("v1_cloud_search_user"), load("v1_server_audit")
    edited, labelled = load("v2_page_single_real"), load("v2_page_single_labels")
    small = load("v2_children_ancestors")
    restriction, labels = small["restriction(v1)"], small["labels(v2)"]
    indexed = [{name: one[name] for name in INDEXED} for one in (page, edited, labelled)]
    return {
        "space": Capture("space", "/api/v2/spaces[?].*status=current", spaces, spaces["results"]),
        "pages": Capture("pages", "/api/v2/pages[?].*body-format", listed(page), [page]),
        "page_index": Capture("page_index", "/api/v2/pages[?](?!.*body-format)", listed(*indexed), indexed),
        "a page": Capture("rendered_pages", f"/pages/{edited['id']}[?]", edited, [edited]),
        "a page with labels": Capture("rendered_pages", f"/pages/{labelled['id']}[?]", labelled, [labelled]),
        "group": Capture("group", "/wiki/rest/api/group", groups, groups["results"]),
        "audit": Capture("audit", "/wiki/rest/api/audit", audit, audit["results"]),
        "old audit": Capture("audit", "/wiki/rest/api/audit", listed(old), [old]),
        "users": Capture("users", "/wiki/rest/api/search/user", listed(user), [user["user"]]),
        "labels": Capture("labels", "/wiki/api/v2/labels", labels, labels["results"]),
        "page_restrictions": Capture(
            "page_restrictions", "/content/[0-9]+/restriction", restriction, restriction["results"]
        ),
    }


CAPTURES = captures() if EXAMPLES.is_dir() else {}


@pytest.fixture(scope="module")
def replayed() -> Output:
    with Server(company(small=True)) as server:
        # Often enough that other streams, which need a list for their parents, get it too; and that the audit
        # log, which is requested year by year, gets both of its captures.
        for capture in CAPTURES.values():
            server.fail(capture.match, times=12, status=200, body=json.dumps(capture.body).encode())
        output = connector(
            "read", config_for(server), select=sorted({capture.stream for capture in CAPTURES.values()})
        )
    assert (output.exit_code, output.errors) == (0, [])
    return output


def found(replayed: Output, capture: Capture, item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records that contain a whole captured item; the CDK drops null fields."""
    wanted = {name: value for name, value in item.items() if value is not None}
    return [record for record in replayed.records[capture.stream] if wanted.items() <= record.items()]


@pytest.mark.parametrize("name", CAPTURES)
def test_a_captured_item_becomes_a_record_that_fits_the_schema(replayed: Output, name: str) -> None:
    stream = STREAMS[CAPTURES[name].stream]
    assert CAPTURES[name].items
    for item in CAPTURES[name].items:
        records = found(replayed, CAPTURES[name], item)
        assert records, item
        for record in records:
            Draft7Validator(stream.schema).validate(record)
            assert all(record[field] is not None for field in stream.key)


@pytest.mark.parametrize("name", CAPTURES)
def test_every_captured_field_is_declared(name: str) -> None:
    described = STREAMS[CAPTURES[name].stream].schema["properties"].keys()
    assert CAPTURES[name].items
    assert not [field for item in CAPTURES[name].items for field in item.keys() - described]


# Links


def links() -> dict[str, tuple[str, str]]:
    """Return the captured links: the text of each, and the cursor in it."""
    (path,) = EXAMPLES.glob("v2_link_header*.txt")
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"(/\S*[?&]cursor=([^&\s>\"]+)[^\s>\"]*)", text)
    return {f"link {number}": pair for number, pair in enumerate(found)}


LINKS = links() if EXAMPLES.is_dir() else {}


def test_the_cursor_of_every_captured_link_is_followed() -> None:
    with Server(company(small=True)) as server:
        for number, (link, _) in enumerate(LINKS.values()):
            body = {"results": [{"id": str(number)}], "_links": {"next": link}}
            server.fail("/wiki/api/v2/labels", status=200, body=json.dumps(body).encode())
        server.fail("/wiki/api/v2/labels", status=200, body=json.dumps(listed({"id": "99"})).encode())
        output = connector("read", config_for(server), select=["labels"])
        sent = [request.values("cursor") for request in server.requests_to("/wiki/api/v2/labels")]
    assert len(LINKS) == 3
    assert [record["id"] for record in output.records["labels"]] == ["0", "1", "2", "99"]
    plain = [cursor.replace("%2B", "+").replace("%3D", "=") for _, cursor in LINKS.values()]
    assert sent == [[], *([cursor] for cursor in plain)]


# Errors

# Captured errors, each with its stream, its operation, and words of the resulting message.
FATAL = {
    "v2_400_bad_cursor": ("labels", "/wiki/api/v2/labels", "Confluence refused a request"),
    "gateway_401_scope": ("users", "/wiki/rest/api/search/user", "scope does not match"),
    "v1_403_no_access": ("group", "/wiki/rest/api/group", "has no access to Confluence"),
    "v1_410_gone": ("audit", "/wiki/rest/api/audit", "This deprecated endpoint has been removed"),
    "v2_404_generic": ("attachments", "/wiki/api/v2/attachments", "wrong, expired or revoked credential"),
    "v2_bad_credentials_is_404": ("space_labels", "/wiki/api/v2/spaces/{id}/labels", "still there"),
}
SKIPPING = ("space_permissions", "page_restrictions", "space_properties")
GONE = {"v2_404": "/wiki/api/v2/spaces/{id}/permissions", "v1_404": "/content/[0-9]+/restriction"}


@pytest.fixture(scope="module")
def met() -> Iterator[Output]:
    errors = load("errors")
    operations = {name: operation for name, (_, operation, _) in FATAL.items()} | GONE
    with Server(company(small=True)) as server:
        for name, operation in operations.items():
            body = json.dumps(errors[name]["body"]).encode()
            times = None if name in FATAL else 1
            server.fail(operation, times=times, status=errors[name]["http"], body=body)
        for title in errors["v2_real_404_titles"]["titles"]:
            body = json.dumps({"errors": [{"status": 404, "code": "NOT_FOUND", "title": title}]}).encode()
            server.fail("/wiki/api/v2/spaces/{space-id}/properties", status=404, body=body)
        selected = [*(stream for stream, _, _ in FATAL.values()), *SKIPPING]
        yield connector("read", config_for(server), select=selected)


@pytest.mark.parametrize("name", FATAL)
def test_a_captured_error_fails_its_stream_with_a_reason(met: Output, name: str) -> None:
    stream, _, words = FATAL[name]
    assert met.statuses[stream] == "INCOMPLETE"
    traces = [m["trace"]["error"] for m in met.messages if m["type"] == "TRACE" and "error" in m["trace"]]
    sentences = [e["message"] for e in traces if (e.get("stream_descriptor") or {}).get("name") == stream]
    assert words in sentences[0]


@pytest.mark.parametrize("stream", SKIPPING)
def test_a_captured_404_of_a_deleted_parent_skips_only_that_parent(met: Output, stream: str) -> None:
    assert met.statuses[stream] == "COMPLETE"
    assert met.records[stream]
