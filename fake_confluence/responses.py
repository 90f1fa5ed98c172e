"""Build the response to a request from the contract and the site's data, in Confluence's own form."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

import orjson

from fake_confluence.permissions import refusal, subject_of
from fake_confluence.site import Condition, Key, Record, Site, milliseconds, sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fake_confluence.contract import Contract, Operation, Parameter


@dataclass
class Response:
    """An HTTP response: a status, a body and additional headers."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class RefusalError(Exception):
    """A request that Confluence refuses."""

    def __init__(self, status: int, title: str, detail: str | None = None) -> None:
        """Create the error.

        Args:
            status: The HTTP status.
            title: The error message of v2 or v1.
            detail: More details, which only v2 returns.
        """
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail


@dataclass
class Call:
    """A parsed request: the operation, its parameters, and the site."""

    site: Site
    contract: Contract
    operation: Operation
    path: str
    path_values: dict[str, str]
    query: list[tuple[str, str]]
    values: dict[str, list[str]]
    base: str
    max_page: int
    sign: Callable[[Record], str]
    body: bytes
    email: str

    def one(self, name: str, default: str = "") -> str:
        """Return the only value of a parameter."""
        return self.values.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """Return whether a boolean parameter is true."""
        return self.one(name) == "true"


def respond(  # noqa: PLR0913, PLR0917 - all inputs of a response
    site: Site,
    contract: Contract,
    target: str,
    base: str,
    max_page: int = 0,
    sign: Callable[[Record], str] = str,
    body: bytes = b"",
    email: str = "",
) -> Response:
    """Return the response to a request of an account that may read everything on this site.

    Args:
        site: The data.
        contract: The operations.
        target: Path and query, starting with /wiki.
        base: The address of the site, without /wiki.
        max_page: The largest number of records per page for any requested limit; 0 for no maximum.
        sign: Returns the signed URL of an attachment's file.
        body: The body of the request.
        email: The email address of the account; empty for an anonymous visitor.
    """
    path, _, query = target.partition("?")
    operation, path_values = contract.find(path)
    api = api_of(path)
    if operation is None:
        return refuse(api, 404, "Not Found")
    if isinstance(operation, str):
        return _gone()
    try:
        pairs = parse_qsl(query, keep_blank_values=True)
        values = _understand(operation, pairs)
        call = Call(
            site, contract, operation, path, path_values, pairs, values, base, max_page, sign, body, email
        )
        return _PAGING[operation.paging](call)
    except RefusalError as error:
        return refuse(api, error.status, error.title, error.detail)


def api_of(path: str) -> str:
    """Return the API of a path, "v2" or "v1"."""
    return "v2" if path.startswith("/wiki/api/v2") else "v1"


def refuse(api: str, status: int, title: str, detail: str | None = None) -> Response:
    """Return an error in the form of v2 or v1."""
    if api == "v2":
        code = _CODES.get(status, "ERROR")
        error = {"status": status, "code": code, "title": title, "detail": detail}
        return Response(status, orjson.dumps({"errors": [error]}))
    if status == 404:
        data = {
            "authorized": False,
            "valid": False,
            "errors": [{"message": {"translation": title, "args": []}}],
            "successful": False,
        }
        name = "NotFoundException"
    else:
        data = {"authorized": True, "valid": False, "errors": [], "successful": False}
        name = {400: "BadRequestException", 403: "PermissionException"}.get(status, "Exception")
    message = f"com.atlassian.confluence.api.service.exceptions.api.{name}: {title}"
    return Response(status, orjson.dumps({"statusCode": status, "data": data, "message": message}))


_CODES = {
    400: "INVALID_REQUEST_PARAMETER",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
}


def _gone() -> Response:
    data = {"authorized": True, "valid": True, "errors": [], "successful": True}
    message = (
        "com.atlassian.confluence.api.service.exceptions.GoneException: "
        "This deprecated endpoint has been removed."
    )
    return Response(410, orjson.dumps({"statusCode": 410, "data": data, "message": message}))


# Parameters


def _understand(operation: Operation, pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Check the query against the contract, and return the values of each parameter."""
    values: dict[str, list[str]] = {}
    for name, text in pairs:
        parameter = operation.parameters.get(name)
        if parameter is None:
            # The next links of v1 contain next=true, which is not declared everywhere.
            if name == "next" and operation.api == "v1":
                continue
            raise RefusalError(400, f"The parameter '{name}' is not declared for {operation.path}")
        found = [part for part in text.split(",") if part] if parameter.commas else [text]
        if name in values and not (parameter.many or parameter.repeats):
            raise RefusalError(400, f"The parameter '{name}' was given more than once")
        values.setdefault(name, []).extend(found)
    for parameter in operation.parameters.values():
        _check(parameter, values.get(parameter.name))
    return values


def _check(parameter: Parameter, given: list[str] | None) -> None:
    if given is None:
        if parameter.required:
            raise RefusalError(400, f"The parameter '{parameter.name}' is required")
        return
    for text in given:
        right = text in parameter.values if parameter.values else True
        if parameter.kind == "integer":
            right = re.fullmatch(r"-?\d+", text) is not None
        elif parameter.kind == "boolean":
            right = text in ("true", "false")
        if not right:
            wanted = ", ".join(parameter.values) or parameter.kind
            raise RefusalError(
                400,
                f"Provided value for '{parameter.name}' is not the correct type. Expected type is {wanted}.",
                f"'{text}' was given.",
            )
    if parameter.max_items and len(given) > parameter.max_items:
        raise RefusalError(400, f"'{parameter.name}' takes {parameter.max_items} values, not {len(given)}")


def _page_size(call: Call) -> int:
    operation = call.operation
    text = call.one("limit", str(operation.limit_default))
    if not text.isdigit() or int(text) < 1:
        raise RefusalError(400, f"Provided value for 'limit' must be at least 1, not '{text}'")
    if int(text) > operation.limit_max and operation.limit_over == "refuse":
        raise RefusalError(400, f"Provided value for 'limit' is above the maximum of {operation.limit_max}")
    return min(int(text), operation.limit_max)


def _capped(call: Call, size: int) -> int:
    return min(size, call.max_page) if call.max_page else size


def _conditions(call: Call) -> list[Condition]:
    """Return the conditions for the records of the response, the most selective ones first."""
    operation = call.operation
    found = [Condition(name, (_meant(call, source),)) for name, source in operation.where.items()]
    for parameter in operation.parameters.values():
        if not parameter.field:
            continue
        given = call.values.get(parameter.name)
        if parameter.compare in ("from", "to"):
            if given:
                timestamp = _timestamp(parameter.name, given[0])
                found.append(Condition(parameter.field, (timestamp,), parameter.compare))
        elif given:
            # Pages have one of few statuses: an index by status excludes few records.
            chosen = not parameter.values
            found.append(Condition(parameter.field, tuple(given), parameter.compare, chosen))
        elif parameter.default:
            found.append(Condition(parameter.field, parameter.default, chosen=False))
    for name, wanted in operation.only.items():
        found.append(Condition(name, wanted, chosen=False))
    return found


def _meant(call: Call, name: str) -> str:
    """Return the value of a path parameter, or the field of the named record that the contract defines for it."""
    value, field = call.path_values[name], call.operation.through
    if not field:
        return value
    named = call.site.select(call.operation.parents, [Condition(call.operation.parent_field, (value,))])
    return str(named[0][field])


def _timestamp(name: str, text: str) -> int:
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    try:
        return milliseconds(text)
    except ValueError:
        raise RefusalError(400, f"Provided value for '{name}' is not a time: '{text}'") from None


def _require_parent(call: Call) -> None:
    """Raise 404 without the parent. For v1 content in the trash does not exist."""
    operation = call.operation
    if not operation.parents:
        return
    wanted = next(iter(call.path_values.values()))
    parents = operation.parents
    found = [each for name in parents for each in call.site.find(name, operation.parent_field, wanted)]
    hidden = ("trashed", "deleted") if operation.api == "v1" else ()
    if not any(each.get("status") not in hidden for each in found):
        raise _missing(call, parents[0], wanted)


def _missing(call: Call, collection: str, wanted: str) -> RefusalError:
    noun = call.contract.collections.get(collection, {}).get("noun", "content")
    if call.operation.api == "v2":
        return RefusalError(404, f"Cannot find a {noun} with id [{wanted}]")
    if noun in ("page", "blog post", "content"):
        return RefusalError(404, f"No content with id <ContentId{{id={wanted}}}> can be found")
    return RefusalError(404, f"No {noun} with {call.operation.parent_field} {wanted} can be found")


# Pagination


def _cursor_list(call: Call) -> Response:
    """Return a page of a v2 list, with a keyset cursor, which stays valid when records move."""
    _require_parent(call)
    operation = call.operation
    order = call.one("sort", operation.default_sort)
    name = order.lstrip("-")
    by = operation.sort.get(name, "id")
    ordering = call.site.ordering(operation.collections[0], _conditions(call), by)
    after = _read_cursor(call.one("cursor"), name) if "cursor" in call.values else None
    size = _page_size(call)
    records, more = ordering.page(_capped(call, size), after=after, descending=order.startswith("-"))
    links = {"base": f"{call.base}/wiki"}
    headers = {}
    if more:
        links = {"next": _v2_next(call, records[-1], name, by, size), **links}
    if operation.link_header:
        known = [f'<{address}>; rel="{rel}"' for rel, address in links.items()]
        headers["Link"] = ", ".join(known)
    results = [_render(call, record) for record in records]
    return Response(200, orjson.dumps({"results": results, "_links": links}), headers)


def _v2_next(call: Call, last: Record, order: str, by: str, size: int) -> str:
    """Return the next link as real sites write it.

    The padding of the cursor is not escaped, the cursor is not the last parameter, and the link contains neither the
    order nor the body format: a client must add them again.
    """
    value, own = sort_key(last, by)
    cursor = {"id": str(own), "contentOrder": order, "contentOrderValue": value}
    text = json.dumps(cursor, separators=(",", ":"))
    # An additional space makes sure that every cursor has padding.
    packed = base64.b64encode((text if len(text) % 3 else text + " ").encode()).decode()
    dropped = ("cursor", "limit", "sort", "body-format")
    kept = [(name, text) for name, text in call.query if name not in dropped]
    rest = urlencode([*kept, ("limit", str(size))], safe=",")
    return f"{call.path}?cursor={packed}&{rest}"


def _read_cursor(text: str, order: str) -> Key:
    try:
        cursor = json.loads(base64.b64decode(text.replace(" ", "+"), validate=True))
        # A cursor is valid for one order only, whose name it contains.
        value = {cursor["contentOrder"]: cursor["contentOrderValue"]}[order]
        own = cursor["id"]
        return value, int(own) if own.isdigit() else own
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise RefusalError(
            400,
            "Provided value for 'cursor' is not the correct type. Expected type is Cursor.",
            "The provided cursor was not valid. You can get a new valid cursor by making the "
            "original pagination request again.",
        ) from None


def _offset_list(call: Call) -> Response:
    """Return a page of a v1 list: start and limit, and a next link relative to /wiki."""
    _require_parent(call)
    operation = call.operation
    if operation.shape == "search_user":
        _read_cql(call.one("cql"), {"user"})
    size = _capped(call, _page_size(call))
    start = _start(call)
    records = _in_order(call)[: operation.most or None]
    page = records[start : start + size]
    results = [_render(call, record) for record in page]
    body = {"results": results, "start": start, "limit": size, "size": len(results)}
    if operation.shape == "search_user":
        body |= _search_totals(call, len(records))
    if call.flag("shouldReturnTotalSize"):
        body["totalSize"] = len(records)
    more = start + size < len(records)
    body["_links"] = _v1_links(call, size, start + size if more else None)
    return Response(200, orjson.dumps(body))


def _in_order(call: Call) -> list[Record]:
    operation, conditions = call.operation, _conditions(call)
    if not operation.default_sort:
        return call.site.select(operation.collections, conditions)
    by = operation.default_sort.lstrip("-")
    ordered = call.site.ordering(operation.collections[0], conditions, by).records
    return ordered[::-1] if operation.default_sort.startswith("-") else ordered


def _start(call: Call) -> int:
    text = call.one("start", "0")
    if not text.isdigit():
        raise RefusalError(400, f"Provided value for 'start' must not be negative: '{text}'")
    return int(text)


def _v1_links(call: Call, size: int, start: int | None, cursor: str = "") -> dict[str, str]:
    own = call.path.removeprefix("/wiki")
    dropped = ("start", "limit", "next", "cursor", "expand")  # a client must add the expansions again
    kept = [(name, text) for name, text in call.query if name not in dropped]
    requested = f"?{urlencode(kept)}" if kept else ""
    links = {
        "base": f"{call.base}/wiki",
        "context": "/wiki",
        "self": f"{call.base}/wiki{own}{requested}",
    }
    if start is not None:
        cursors = [("cursor", cursor)] if cursor else []
        starts = [("start", str(start))] if "start" in call.operation.parameters else []
        more = urlencode([*cursors, *kept, ("limit", str(size)), *starts])
        links["next"] = f"{own}?next=true&{more}"
    return links


def _search(call: Call) -> Response:
    """Return a page of a CQL search: with a cursor, short pages, and sometimes an empty last page.

    As on real sites, a page before the end can have fewer results than its limit, and `start` has no effect.
    """
    cql = _read_cql(
        call.one("cql"), {kind for kind in _CONTENT if _CONTENT[kind] in call.operation.collections}
    )
    found = _searched(call, cql)
    found.sort(key=lambda record: sort_key(record, "id"))
    limit = _page_size(call)
    begin, number = _read_search_cursor(call.one("cursor")) if "cursor" in call.values else (0, 0)
    size = max(1, _capped(call, limit) - number % 3)
    page = found[begin : begin + size]
    end = begin + len(page)
    # After a full page, the index does not know whether more results follow.
    full_end = end == len(found) and len(page) == size and end % 2 == 0
    more = end < len(found) or full_end
    packed = base64.b64encode(f">?{end},{number + 1}".encode()).decode()
    body = {
        "results": [_render(call, record) for record in page],
        "start": begin,
        "limit": limit,
        "size": len(page),
        **(_search_totals(call, len(found)) if call.operation.paging == "search" else {}),
        "_links": _v1_links(call, limit, end if more else None, f"_sa_{packed}"),
    }
    return Response(200, orjson.dumps(body))


# The types of content that a search finds, and the collections that hold them.
_CONTENT = {
    "page": "pages",
    "blogpost": "blog_posts",
    **dict.fromkeys(("folder", "whiteboard", "database", "embed"), "tree_items"),
}


def _type(record: Record) -> str:
    """Return the type of a page, blog post or tree item."""
    return str(record.get("type") or ("page" if "parentId" in record else "blogpost"))


def _search_totals(call: Call, total: int) -> Record:
    return {
        "totalSize": total,
        "cqlQuery": call.one("cql"),
        "searchDuration": 12,
        "archivedResultCount": 0,
    }


def _searched(call: Call, cql: Cql) -> list[Record]:
    """Return the content that a search finds.

    It is current, and in a current space unless the request includes the archived ones. `_indexed: False` in a record
    means that the index of the search does not have it yet.
    """
    named = [space["id"] for key in cql.keys for space in call.site.find("spaces", "key", key)]
    within = [Condition("spaceId", tuple(named))] if cql.keys else []
    collections = dict.fromkeys(_CONTENT[kind] for kind in cql.kinds)
    found = call.site.select(list(collections), within)
    return [record for record in found if _type(record) in cql.kinds and _is_searched(call, record, cql)]


def _is_searched(call: Call, record: Record, cql: Cql) -> bool:
    spaces = call.site.find("spaces", "id", record["spaceId"])
    archived = any(space["status"] == "archived" for space in spaces)
    if archived and not call.flag("includeArchivedSpaces"):
        return False
    if not archived and call.flag("excludeCurrentSpaces"):
        return False
    indexed = record["status"] == "current" and record.get("_indexed", True)
    return indexed and _space_key(call, record) not in cql.not_keys


class Cql(NamedTuple):
    """Content types, the keys of the spaces to search (empty for all), and those to exclude."""

    kinds: list[str]
    keys: list[str]
    not_keys: list[str]


_KEYS = r"\s*\(((?:\s*\"[^\"]*\"\s*,?)+)\))?"
_CQL = re.compile(
    r"type\s*(?:=|in\s*\()\s*([\w\s\",]+?)\s*\)?"
    rf"(?:\s+and\s+space\s+in{_KEYS}(?:\s+and\s+space\s+not\s+in{_KEYS}",
    re.IGNORECASE,
)


def _read_cql(text: str, kinds: set[str]) -> Cql:
    """Parse the supported CQL: types, and the spaces to search or to exclude."""
    found = _CQL.fullmatch(text.strip())
    named = re.findall(r"\w+", found[1].lower()) if found else []
    if found is None or not named or not kinds.issuperset(named):
        raise RefusalError(400, f"Could not parse cql : {text}")
    keys, not_keys = (re.findall(r'"([^"]*)"', found[n] or "") for n in (2, 3))
    return Cql(named, keys, not_keys)


def _read_search_cursor(text: str) -> tuple[int, int]:
    try:
        packed = base64.b64decode(text.removeprefix("_sa_"), validate=True).decode()
        begin, number = packed.removeprefix(">?").split(",")
        return int(begin), int(number)
    except (ValueError, binascii.Error):
        raise RefusalError(400, f"Invalid cursor: {text}") from None


def _principals(call: Call) -> Response:
    """Return the restrictions of a content: start and limit apply to users and groups."""
    _require_parent(call)
    content_id = call.path_values["id"]
    size, start = _capped(call, _page_size(call)), _start(call)
    expanded = call.values.get("expand") or [f"restrictions.{kind}" for kind in _KINDS]
    wanted = {
        operation: [
            kind
            for kind in _KINDS
            if {f"restrictions.{kind}", f"{operation}.restrictions.{kind}"} & set(expanded)
        ]
        for operation in ("read", "update")
    }
    restrictions = _restrictions(call, content_id, wanted, start, size)
    results = [
        {**restriction, **_restricted_content(call, content_id)} for restriction in restrictions.values()
    ]
    count = len(call.site.find("content_restrictions", "_contentId", content_id))
    body = {
        "results": results,
        "start": start,
        "limit": size,
        "size": len(results),
        "restrictionsHash": f"{count}-{content_id}" if count else "",
        "_links": _v1_links(call, size, None),
    }
    return Response(200, orjson.dumps(body))


_KINDS = ("user", "group")


def _restrictions(
    call: Call, content_id: str, wanted: Mapping[str, Sequence[str]], start: int, size: int
) -> dict[str, Record]:
    """Return the restriction of each wanted operation on a content.

    As on real sites, the next link is in the list that was cut, not in the response. The document declares no link for
    a list of groups.
    """
    found = call.site.find("content_restrictions", "_contentId", content_id)
    kept = {restriction["operation"]: restriction for restriction in found}
    restrictions = {}
    for operation, kinds in wanted.items():
        own = f"/rest/api/content/{content_id}/restriction/byOperation/{operation}"
        lists = {}
        for kind in kinds:
            named = kept.get(operation, {}).get(f"_{kind}s", [])
            page = [_PRINCIPALS[kind](call, each) for each in named[start : start + size]]
            lists[kind] = {"results": page, "start": start, "limit": size, "size": len(page)}
            if kind == "user":
                more = {"next": f"{own}?next=true&limit={size}&start={start + size}"}
                cut = start + size < len(named)
                links = {"self": f"{call.base}/wiki{own}", **(more if cut else {})}
                lists[kind] |= {"totalSize": len(named), "_links": links}
        restrictions[operation] = {
            "operation": operation,
            "restrictions": {**lists, "_expandable": {kind: "" for kind in _KINDS if kind not in kinds}},
            "_expandable": {"content": f"/rest/api/content/{content_id}"},
            "_links": {"self": f"{call.base}/wiki{own}"},
        }
    return restrictions


def _group(call: Call, group_id: str) -> Record:
    """Return a group; deleting a group does not remove its permissions."""
    found = call.site.find("groups", "id", group_id)
    return public(found[0]) if found else {"type": "group", "name": group_id, "id": group_id, "_links": {}}


def _user(call: Call, account: str) -> Record:
    """Return a user, or a placeholder for a user who no longer exists."""
    found = call.site.find("users", "accountId", account)
    if found:
        return public(found[0])
    names = {"publicName": "Former user", "displayName": "Former user"}
    return {"type": "unknown", "accountId": account, "accountType": "", "email": "", **names, "_links": {}}


_PRINCIPALS: dict[str, Callable[[Call, str], Record]] = {"user": _user, "group": _group}


def _restricted_content(call: Call, content_id: str) -> Record:
    if "content" not in call.values.get("expand", []):
        return {}
    found = call.site.select(call.operation.parents, [Condition("id", (content_id,))])[0]
    return {"content": v1_content(call, found, _type(found)), "_expandable": {}}


def _object(call: Call) -> Response:
    """Return one record."""
    _require_parent(call)
    found = _named(call)
    wanted = next(iter(call.path_values.values()), "")
    requested = call.values.get("status")
    if requested and found[0]["status"] not in requested:
        states = ", ".join(requested)
        raise RefusalError(404, f"No content found with id : {wanted} and status [{states}]")
    return Response(200, orjson.dumps(_render(call, found[0])))


def _only(call: Call) -> Response:
    """Return the record that the parameters name."""
    return Response(200, orjson.dumps(_render(call, _named(call)[0])))


def _visitor(call: Call) -> Response:
    """Return the user of the credential, or the anonymous user."""
    picture = {"path": "/wiki/aa-avatar/default", "width": 48, "height": 48, "isDefault": True}
    user = {"type": "anonymous", "displayName": "Anonymous", "profilePicture": picture, "_expandable": {}}
    if call.email:
        account = {"accountId": "712020:demo", "accountType": "atlassian", "email": call.email}
        user |= {"type": "known", "displayName": "Demo", "publicName": "Demo", **account}
        user |= next(map(public, call.site.find("users", "email", call.email)), {})
    return Response(200, orjson.dumps({**user, "_links": {"base": f"{call.base}/wiki", "context": "/wiki"}}))


def _named(call: Call) -> list[Record]:
    """Return the records that the path or the parameters name."""
    found = call.site.select(call.operation.collections, _conditions(call))
    if not found:
        wanted = next(reversed([*call.path_values.values(), *(text for _, text in call.query)]), "")
        raise _missing(call, call.operation.collections[0], wanted)
    return found


def _file(call: Call) -> Response:
    """Redirect to the file of an attachment."""
    _require_parent(call)
    return Response(302, b"", {"Location": call.sign(_named(call)[0])})


def _bulk(call: Call) -> Response:
    """Return the records with the requested ids, of which only the first 100 count."""
    named = call.values["accountId"][:100]
    found = [record for each in named for record in call.site.find("users", "accountId", each)]
    body = {"results": [_render(call, record) for record in found], "start": 0, "limit": 100}
    return Response(200, orjson.dumps({**body, "size": len(found), "_links": _v1_links(call, 100, None)}))


def _array(call: Call) -> Response:
    """Return all records in a bare list."""
    _require_parent(call)
    found = call.site.select(call.operation.collections, _conditions(call))
    return Response(200, orjson.dumps([_render(call, record) for record in found]))


def _check_permission(call: Call) -> Response:
    """Return whether somebody may read a content that is not in the trash."""
    _require_parent(call)
    contents = call.site.select(call.operation.parents, [Condition("id", (call.path_values["id"],))])
    if contents[0]["status"] not in ("current", "archived"):
        raise _missing(call, "tree_items", call.path_values["id"])
    try:
        asked = json.loads(call.body)
        kind, identifier, operation = (
            asked["subject"]["type"],
            asked["subject"]["identifier"],
            asked["operation"],
        )
    except (ValueError, KeyError, TypeError):
        raise RefusalError(400, "The request needs a subject and an operation") from None
    subject = subject_of(call.site, kind, identifier)
    if subject is None or operation != "read":  # the embedded site checks only reading
        raise RefusalError(400, f"The subject or the operation is not valid: {asked}")
    reason = refusal(call.site, contents[0], subject)
    errors = [{"translation": reason, "args": []}] if reason else []
    return Response(200, orjson.dumps({"hasPermission": not reason, "errors": errors, "_links": {}}))


_PAGING: dict[str, Callable[[Call], Response]] = {
    "cursor": _cursor_list,
    "offset": _offset_list,
    "search": _search,
    "contents": _search,
    "principals": _principals,
    "object": _object,
    "file": _file,
    "bulk": _bulk,
    "array": _array,
    "check": _check_permission,
    "named": _only,
    "visitor": _visitor,
}


# Records in a response


def public(record: Record) -> Record:
    """Return a record without its private fields."""
    return {
        name: value for name, value in record.items() if name[0] != "_" or name in ("_links", "_expandable")
    }


def _render(call: Call, record: Record) -> Record:
    """Return a record as the operation returns it, with its links, body and requested parts."""
    operation = call.operation
    shown = {name: value for name, value in public(record).items() if name not in operation.hides}
    links = call.contract.collections.get(operation.collections[0], {}).get("links")
    if links and not operation.shape:
        shown["_links"] = _page_links(call, record, links)
    if operation.body_formats:
        _put_body(call, record, shown)
    if operation.paging == "object" and operation.api == "v2":
        _put_included(call, record, shown)
        shown["_links"] = {**shown.get("_links", {}), "base": f"{call.base}/wiki"}
    if operation.shape:
        return _SHAPES[operation.shape](call, record, shown)
    return shown


def _page_links(call: Call, record: Record, links: dict[str, str]) -> Record:
    words = {
        "id": record["id"],
        "space": _space_key(call, record),
        "title": quote_plus(record["title"]),
        "tiny": _tiny(record["id"]),
    }
    return {name: link.format_map(words) for name, link in links.items()}


def _tiny(content_id: str) -> str:
    """Return the short form of an id in tiny links."""
    packed = base64.urlsafe_b64encode(int(content_id).to_bytes(8, "little")).decode()
    return packed.rstrip("=").rstrip("A")


def _space_key(call: Call, record: Record) -> str:
    found = call.site.find("spaces", "id", record.get("spaceId"))
    return found[0]["key"] if found else ""


def _put_body(call: Call, record: Record, shown: Record) -> None:
    body = record.get("_body", {})
    wanted = call.one("body-format")
    returned: Record | None = {}
    if body is None:
        returned = None
    elif wanted and body and ("raw" in body) == (wanted == "raw"):
        returned = {wanted: {"representation": wanted, "value": body_value(body, wanted)}}
    where = call.operation.body_in
    if where:
        shown[where] = {**shown[where], "body": returned}
    else:
        shown["body"] = returned


def body_value(body: dict[str, str], representation: str) -> str:
    """Return a body in a representation, converted from the storage format if necessary."""
    if representation in body:
        return body[representation]
    storage = body.get("storage", "")
    if representation == "styled_view":
        style = "<style>body{font-family:sans-serif}</style>"
        return f"<!DOCTYPE html><html><head>{style}</head><body>{storage}</body></html>"
    return storage


def _put_included(call: Call, record: Record, shown: Record) -> None:
    """Add the parts that include-… flags request to a single object."""
    for parameter in call.operation.parameters.values():
        include = parameter.include
        if not include or not call.flag(parameter.name):
            continue
        if "flag" in include:
            shown[include["as"]] = bool(record.get(include["flag"]))
            continue
        if "ids" in include:
            ids = record.get(include["ids"], [])
            found = [r for each in ids for r in call.site.find(include["collection"], "id", each)]
        elif "where" in include:
            found = call.site.find(include["collection"], include["where"], record["id"])
        else:
            found = record.get(include["field"], _OPERATIONS)
        own = call.path.removeprefix("/wiki")
        shown[include["as"]] = {
            "results": [_included(include["as"], each) for each in found],
            "meta": {"hasMore": False, "cursor": ""},
            "_links": {"self": f"{own}/{include['as']}"},
        }


def _included(kind: str, record: Record) -> Record:
    """Return a record as it is nested in another one: a version without the content that it is a version of."""
    hidden = ("page", "blogpost", "attachment", "custom", "comment") if kind == "versions" else ()
    return {name: value for name, value in public(record).items() if name not in hidden}


_OPERATIONS = [{"operation": operation, "targetType": "page"} for operation in ("read", "update", "delete")]


def _space(call: Call, record: Record, shown: Record) -> Record:
    """Remove the icon and the description of a space if the request does not include them."""
    wanted = call.one("description-format")
    text = record.get("_description")
    shown["description"] = None
    if wanted and text is not None:
        shown["description"] = {wanted: {"representation": wanted, "value": text}}
    shown["icon"] = record.get("_icon") if call.flag("include-icon") else None
    return shown


def _search_content(call: Call, record: Record, _shown: Record) -> Record:
    content = v1_content(call, record, record["type"])
    key = _space_key(call, record)
    spaces = call.site.find("spaces", "id", record["spaceId"])
    return {
        "content": content,
        "title": record["title"],
        "excerpt": "",
        "url": content["_links"]["webui"],
        "resultGlobalContainer": {
            "title": spaces[0]["name"] if spaces else "",
            "displayUrl": f"/spaces/{key}",
        },
        "breadcrumbs": [],
        "entityType": "content",
        "iconCssClass": f"aui-icon content-type-{record['type']}",
        "lastModified": record["version"]["createdAt"],
        "friendlyLastModified": record["version"]["createdAt"][:10],
        "score": 0.0,
    }


def _expanded_content(call: Call, record: Record, _shown: Record) -> Record:
    """Return a content with its space and its restrictions if they are expanded."""
    content = v1_content(call, {**record, "_content": {}}, _type(record))
    expanded = call.values.get("expand", [])
    wanted: dict[str, list[str]] = {}
    for _, operation, _, kind in (each.split(".") for each in expanded if "." in each):
        wanted.setdefault(operation, []).append(kind)
    if wanted:
        restrictions = _restrictions(call, record["id"], wanted, 0, _MOST_PRINCIPALS)
        hidden = {operation: "" for operation in ("read", "update") if operation not in wanted}
        content["restrictions"] = {**restrictions, "_expandable": hidden}
    if "space" in expanded:
        (space,) = call.site.find("spaces", "id", record["spaceId"])
        content["space"] = {
            "id": int(space["id"]),
            **{name: space[name] for name in ("key", "name", "type", "status")},
            "_expandable": {"homepage": ""},
            "_links": {"webui": f"/spaces/{space['key']}"},
        }
    return content


_MOST_PRINCIPALS = 200  # of a list in a content


def v1_content(call: Call, record: Record, kind: str) -> Record:
    """Return a content in the form of v1; `_content` of the record adds fields."""
    content_id = record["id"]
    ari = f"ari:cloud:confluence:{call.site.cloud_id}:{kind}/{content_id}"
    base = f"{call.base}/wiki"
    webui = f"/spaces/{_space_key(call, record)}/{kind}/{content_id}"
    links = {"webui": webui, "tinyui": f"/x/{_tiny(content_id)}"}
    return {
        "id": content_id,
        "type": kind,
        "ari": ari,
        "base64EncodedAri": base64.b64encode(ari.encode()).decode(),
        "status": record["status"],
        "title": record["title"],
        "macroRenderedOutput": {},
        "extensions": {"position": record.get("position")},
        **record.get("_content", {}),
        "_expandable": {
            "container": f"/rest/api/space/{_space_key(call, record)}",
            "history": f"/rest/api/content/{content_id}/history",
            "version": "",
        },
        "_links": {
            **links,
            **{k: v for k, v in record.get("_links", {}).items() if k == "editui"},
            "self": f"{base}/rest/api/content/{content_id}",
        },
    }


def _search_user(_call: Call, record: Record, shown: Record) -> Record:
    return {
        "user": shown,
        "title": record.get("displayName") or "",
        "excerpt": "",
        "url": f"/people/{quote(record['accountId'])}",
        "breadcrumbs": [],
        "entityType": "user",
        "iconCssClass": "aui-icon content-type-profile",
        "lastModified": "2026-01-05T08:00:00.000Z",
        "score": 0.0,
    }


def _bulk_user(_call: Call, record: Record, shown: Record) -> Record:
    return {**shown, "displayName": record.get("displayName") or record["publicName"]}


def _template(call: Call, record: Record, shown: Record) -> Record:
    """Add the body of a template only if it is requested."""
    expanded = call.values.get("expand", [])
    if "body" in expanded or "body.storage" in expanded:
        storage = {"value": record["_body"]["storage"], "representation": "storage"}
        return {**shown, "body": {"storage": storage}, "_expandable": {}}
    return {**shown, "_expandable": {"body": ""}}


def _views(_call: Call, record: Record, _shown: Record) -> Record:
    return {"id": int(record["id"]), "count": record.get("_views", 0)}


def _viewers(_call: Call, record: Record, _shown: Record) -> Record:
    return {"id": int(record["id"]), "count": record.get("_viewers", 0)}


def _level(call: Call, record: Record, _shown: Record) -> Record:
    return public(call.site.get("classification_levels", record["_level"]))


def _state(_call: Call, record: Record, _shown: Record) -> Record:
    state = record.get("_state")
    return {"contentState": state, **({"lastUpdated": record["version"]["createdAt"]} if state else {})}


def _bare(_call: Call, record: Record, _shown: Record) -> Record:
    return public(record)


_SHAPES: dict[str, Callable[[Call, Record, Record], Record]] = {
    "space": _space,
    "search_content": _search_content,
    "expanded_content": _expanded_content,
    "search_user": _search_user,
    "bulk_user": _bulk_user,
    "template": _template,
    "views": _views,
    "viewers": _viewers,
    "level": _level,
    "state": _state,
    "bare": _bare,
}
