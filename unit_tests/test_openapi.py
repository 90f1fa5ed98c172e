"""The contract and the embedded site's responses match the official OpenAPI documents."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest
from openapi_schema_validator import OAS30ReadValidator, oas30_format_checker

from common.connector import STREAMS
from fake_confluence import Operation, Server, Site, company, load_contract
from tools.derive import stream_address
from unit_tests.client import Client, Pairs, paths_of, queries_of
from unit_tests.openapi import DOCUMENTS, declared, document, official_parameters, resolved

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATIONS = load_contract().operations
READING = {path: o for path, o in OPERATIONS.items() if o.method == "GET" and o.paging != "file"}
pytestmark = pytest.mark.skipif(
    not DOCUMENTS.is_dir(), reason="the official documents are not beside the repository"
)

# Where responses of real sites differ from the documents, and the evidence:
#   null        the field may be null
#   any         the field takes values that are not listed
#   absent      the field is declared but not returned
#   a type      the field is not declared; the type is that of its values
DEVIATIONS = {
    "v1 BulkUserLookup.accountStatus": ("string", "as for User, reported in July 2026"),
    "v1 BulkUserLookup.externalCollaborator": ("boolean", "as for User"),
    "v1 BulkUserLookup.locale": ("string", "as for User, reported in July 2026"),
    "v1 ContentStateResponse.contentState": ("null", "the description of the field says so"),
    "v1 Container.id": ("string", "no capture has a number; the document leaves the container open"),
    "v1 Group.resourceAri": ("string", "reported, July 2026"),
    "v2 AbstractPageLinks.edituiv2": ("string", "captured, May 2026"),
    "v2 BodyBulk.raw": ("object", "the parameter body-format of versions of custom content names it"),
    "v2 BodySingle.anonymous_export_view": ("object", "the description of body-format names the field"),
    "v2 BodySingle.editor": ("object", "the description of body-format names the field"),
    "v2 BodySingle.export_view": ("object", "the description of body-format names the field"),
    "v2 BodySingle.styled_view": ("object", "the description of body-format names the field"),
    "v2 ChildrenCommentModel.pageId": ("string", "reported, July 2026"),
    "v2 ChildrenCommentModel.resolutionStatus": ("string", "reported, July 2026"),
    "v2 CustomContentBodySingle.anonymous_export_view": ("object", "the parameter body-format names it"),
    "v2 CustomContentBodySingle.export_view": ("object", "the parameter body-format names it"),
    "v2 DatabaseSingle.parentId": ("null", "as for pages"),
    "v2 DatabaseSingle.parentType": ("null", "as for pages"),
    "v2 FolderSingle.parentId": ("null", "as for pages"),
    "v2 FolderSingle.parentType": ("null", "as for pages"),
    "v2 FooterCommentModel.resolutionStatus": ("string", "reported, July 2026"),
    "v2 InlineCommentChildrenModel.pageId": ("string", "reported, July 2026"),
    "v2 InlineCommentModel.properties.inline-marker-ref": ("string", "reported, July 2026"),
    "v2 InlineCommentModel.properties.inline-original-selection": ("string", "reported, July 2026"),
    "v2 InlineCommentProperties.inline-marker-ref": ("string", "reported, July 2026"),
    "v2 InlineCommentProperties.inline-original-selection": ("string", "reported, July 2026"),
    "v2 PageBulk.parentId": ("null", "reported of trashed pages, August 2026"),
    "v2 PageBulk.parentType": ("null", "reported of trashed pages, August 2026"),
    "v2 PageBulk.sourceTemplateEntityId": ("string", "reported, July 2026"),
    "v2 PageSingle.parentId": ("null", "reported of trashed pages, August 2026"),
    "v2 PageSingle.parentType": ("null", "reported of trashed pages, August 2026"),
    "v2 PageSingle.sourceTemplateEntityId": ("string", "reported, July 2026"),
    "v2 SpaceBulk.description": ("null", "captured, November 2025"),
    "v2 SpaceBulk.icon": ("null", "captured, November 2025"),
    "v2 SpaceSingle.description": ("null", "as in the list of spaces"),
    "v2 SpaceSingle.icon": ("null", "as in the list of spaces"),
    "v2 SpacePermissionAssignment.operation.key": ("any", "reported, July 2026: manage_users and more"),
    "v2 SpacePermissionAssignment.principal.type": ("any", "reported, July 2026: access-class"),
    "v2 SpaceProperty.authorId": ("string", "reported, July 2026"),
    "v2 SpaceProperty.createdBy": ("absent", "reported, July 2026: authorId comes in its place"),
    "v2 SpaceProperty.version.authorId": ("string", "reported, July 2026"),
    "v2 SpaceProperty.version.createdBy": ("absent", "reported, July 2026: authorId comes in its place"),
    "v2 Task.assignedTo": ("null", "reported, July 2026"),
    "v2 Task.body": ("null", "reported, July 2026"),
    "v2 Task.completedAt": ("null", "reported, July 2026"),
    "v2 Task.completedBy": ("null", "reported, July 2026"),
    "v2 Task.dueAt": ("null", "reported, July 2026"),
    "v2 Version.contributorIds": ("array", "reported, July 2026; not in the lists of versions"),
    "v2 Version.ncsStepVersion": ("string", "captured, May 2026; not in the lists of versions"),
}


# The documents


# The contract


@pytest.mark.parametrize("path", OPERATIONS)
def test_parameters_are_those_of_the_official_document(path: str) -> None:
    operation = OPERATIONS[path]
    official = official_parameters(operation)
    assert set(operation.parameters) == set(official)
    for name, parameter in operation.parameters.items():
        schema = resolved(operation.api, official[name]["schema"])
        assert parameter.many == (schema["type"] == "array"), name
        # Arrays are exploded by default: the parameter is repeated, unless its description mentions commas.
        description = official[name].get("description", "")
        joined = "comma" in description or official[name].get("explode") is False
        assert parameter.commas == (parameter.many and joined), name
        assert parameter.max_items == schema.get("maxItems", 0), name
        item = resolved(operation.api, schema["items"]) if parameter.many else schema
        assert parameter.kind == item["type"], name
        if "enum" in item:
            assert sorted(parameter.values) == sorted(item["enum"]), name


@pytest.mark.parametrize("path", [path for path, o in OPERATIONS.items() if o.limit_max])
def test_limits_are_those_of_the_official_document(path: str) -> None:
    operation = OPERATIONS[path]
    official = official_parameters(operation)["limit"]["schema"]
    assert operation.limit_default == official.get("default", operation.limit_default)
    assert operation.limit_max == official.get("maximum", operation.limit_max)
    assert operation.limit_over == "refuse" or operation.api == "v1"


@pytest.mark.parametrize("path", OPERATIONS)
def test_scopes_are_those_of_the_official_document(path: str) -> None:
    operation = OPERATIONS[path]
    official = [each["scopes"] for each in declared(operation)["x-atlassian-oauth2-scopes"]]
    assert all(scopes in official for scopes in operation.scopes.values())
    assert all(scopes in operation.scopes.values() for scopes in official)


@pytest.mark.parametrize("path", OPERATIONS)
def test_link_header_is_where_the_official_document_has_one(path: str) -> None:
    operation = OPERATIONS[path]
    if operation.paging == "cursor":
        official = declared(operation)["responses"]["200"].get("headers", {})
        assert operation.link_header == ("Link" in official)


# Requests


@pytest.mark.parametrize("path", OPERATIONS)
def test_summaries_are_those_of_the_official_document(path: str) -> None:
    assert OPERATIONS[path].summary == declared(OPERATIONS[path])["summary"]


# Objects with watchers, versions, properties and the like.
HOLDERS = ("space", "page", "blog post", "attachment", "footer comment", "inline comment", "label", "group")


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_calls_the_operations_that_its_description_names(name: str) -> None:
    stream = STREAMS[name]
    described = f"{name.replace('_', ' ')}. {stream.schema['description']}".lower()
    for operation in stream.operations:
        others = [each for each in HOLDERS if each in operation.summary.lower() and each not in described]
        assert others == [], operation.summary


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_links_the_documentation_of_its_operation(name: str) -> None:
    operation = STREAMS[name].operations[0]
    (group, *_) = declared(operation)["tags"]
    path = operation.path.removeprefix("/wiki/api/v2")
    place = f"{operation.api}/api-group-{slug(group)}/#api{slug(path, '-')}-get"
    assert stream_address(name) == [f"https://developer.atlassian.com/cloud/confluence/rest/{place}"]


def slug(text: str, first: str = "") -> str:
    return first + re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")


# Responses


@lru_cache
def deviating(api: str) -> dict[str, Any]:
    """Return a document with the deviations of real sites."""
    made: dict[str, Any] = json.loads(json.dumps(document(api)))
    for where, (how, _) in DEVIATIONS.items():
        its_api, _, place = where.partition(" ")
        if its_api != api:
            continue
        name, *above, field = place.split(".")
        holder = made["components"]["schemas"][name]
        for part in above:
            holder = holder["properties"][part]
        fields = holder.setdefault("properties", {})
        if how == "null":
            fields[field] = {"anyOf": [fields[field], {"enum": [None], "nullable": True}]}
        elif how == "any":
            del fields[field]["enum"]
        elif how == "absent":
            del fields[field]
        else:
            assert field not in fields, f"{where} is declared now: delete this deviation"
            fields[field] = {"type": how, **({"items": {}} if how == "array" else {})}
    return made


def response_schema(operation: Operation) -> dict[str, Any]:
    path = operation.path.removeprefix("/wiki/api/v2")
    response = deviating(operation.api)["paths"][path][operation.method.lower()]["responses"]["200"]
    schema: dict[str, Any] = response["content"]["application/json"]["schema"]
    return schema


def fields_of(
    api: str, value: Any, schemas: list[dict[str, Any]], name: str = ""
) -> Iterator[tuple[str, Any, bool]]:
    """Yield each field of a response as schema.field, its value, and whether a schema declares it.

    The validator does not check this: OpenAPI allows undeclared fields unless a document forbids them.
    """
    parts = list(schemas)
    for part in parts:
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            parts.append(deviating(api)["components"]["schemas"][name])
        for combined in ("allOf", "oneOf", "anyOf"):
            parts += part.get(combined, [])
    if isinstance(value, list):
        for each in value:
            yield from fields_of(api, each, [part["items"] for part in parts if "items" in part], name)
    elif isinstance(value, dict):
        known = [part.get("properties", {}) for part in parts]
        free = not any(known) or any(part.get("additionalProperties") for part in parts)
        for field, below in value.items():
            homes = [fields[field] for fields in known if field in fields]
            yield f"{api} {name}.{field}", below, bool(homes) or free
            yield from fields_of(api, below, homes, f"{name}.{field}")


def forms(operation: Operation) -> list[Pairs]:
    """Return queries that change the form of a response: each body format, one record, all flags, all expanded."""
    each: list[Pairs] = [[]]
    if operation.limit_max:
        each.append([("limit", "1")])
    flags: Pairs = []
    for name, parameter in operation.parameters.items():
        if name in ("body-format", "description-format"):
            each += [[(name, value)] for value in parameter.values]
        if name.startswith("include") or name == "shouldReturnTotalSize":
            flags.append((name, "true"))
        if name == "expand" and parameter.values:
            flags.append((name, ",".join(parameter.values)))
    return [*each, flags] if flags else each


@pytest.fixture(scope="module")
def site() -> Site:
    return company()


def responses(operation: Operation, site: Site) -> Iterator[tuple[str, Any]]:
    """Yield the responses of the embedded site for each path, query and form of an operation, with the request."""
    with Server(site) as running:
        client = Client(running)
        for target in paths_of(operation, site):
            for query in queries_of(operation, site):
                for form in forms(operation):
                    reply = client.get(target, [*query, *(pair for pair in form if pair not in query)])
                    if operation.optional and reply.status == 404:
                        continue
                    assert reply.status == 200, reply.body
                    yield f"{target} {query} {form}", reply.body


def faults(operation: Operation, body: Any) -> set[str]:
    """Return the errors of a response, as the validator describes them."""
    schema = response_schema(operation)
    whole = {**schema, "components": deviating(operation.api)["components"]}
    found = {
        f"{place} is not declared"
        for place, _, known in fields_of(operation.api, body, [schema])
        if not known
    }
    for error in OAS30ReadValidator(whole, format_checker=oas30_format_checker).iter_errors(body):
        place = ".".join("*" if isinstance(part, int) else str(part) for part in error.absolute_path)
        found.add(f"{place}: {error.message}")
    return found


@pytest.mark.parametrize("path", READING)
def test_every_response_matches_the_official_document(path: str, site: Site) -> None:
    operation, seen = OPERATIONS[path], 0
    wrong: dict[str, str] = {}
    for requested, body in responses(operation, site):
        seen += len(body["results"]) if isinstance(body, dict) and "results" in body else 1
        wrong |= dict.fromkeys(faults(operation, body), requested)
    assert wrong == {}
    assert seen


def test_a_check_of_permissions_matches_the_official_document(site: Site) -> None:
    operation = OPERATIONS["/wiki/rest/api/content/{id}/permission/check"]
    official = document("v1")["components"]["schemas"]
    page, answers = site.records("pages")[0]["id"], set()
    with Server(site) as running:
        for user in site.records("users"):
            subject = {"type": "user", "identifier": user["accountId"]}
            asked = {"subject": subject, "operation": "read"}
            request = {
                "$ref": "#/components/schemas/ContentPermissionRequest",
                "components": {"schemas": official},
            }
            assert list(OAS30ReadValidator(request).iter_errors(asked)) == []
            reply = Client(running).post(operation.path.replace("{id}", page), asked)
            assert (reply.status, faults(operation, reply.body)) == (200, set())
            answers.add(reply.body["hasPermission"])
            described = official["PermissionCheckResponse"]["description"]
            assert all(f"- {error['translation']}" in described for error in reply.body["errors"])
    assert answers == {True, False}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"pageId": None}, "results.*.pageId: None for not nullable"),
        ({"createdAt": "yesterday"}, "results.*.createdAt: 'yesterday' is not a 'date-time'"),
        ({"status": 7}, "results.*.status: 7 is not of type 'string'"),
        ({"owner": "x"}, "v2 Task.owner is not declared"),
    ],
)
def test_a_wrong_response_is_found(site: Site, change: dict[str, Any], expected: str) -> None:
    operation = OPERATIONS["/wiki/api/v2/tasks"]
    _, body = next(responses(operation, site))
    assert faults(operation, body) == set()
    assert expected in faults(operation, {**body, "results": [{**body["results"][0], **change}]})


def test_the_embedded_site_shows_every_deviation(site: Site) -> None:
    served = set()
    for operation in READING.values():
        for _, body in responses(operation, site):
            for place, value, _ in fields_of(operation.api, body, [response_schema(operation)]):
                if place in DEVIATIONS and (value is None or DEVIATIONS[place][0] != "null"):
                    served.add(place)
    assert served == {place for place, (how, _) in DEVIATIONS.items() if how != "absent"}
