"""A plain HTTP client for the embedded site, and the paths and queries of each operation."""

from __future__ import annotations

import base64
import http.client
import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlencode

if TYPE_CHECKING:
    from fake_confluence import Operation, Server, Site

SEARCH = "/wiki/rest/api/search"
Pairs = list[tuple[str, str]]


class Reply(NamedTuple):
    """A response of the embedded site."""

    status: int
    body: Any
    headers: dict[str, str]


class Client:
    """A client with one connection, which reads JSON."""

    def __init__(self, server: Server, token: str = "demo-token") -> None:  # noqa: S107 - public
        self._server = server
        packed = base64.b64encode(f"demo@example.com:{token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {packed}"}
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)

    def raw(self, target: str) -> tuple[int, bytes, dict[str, str]]:
        try:
            self.connection.request("GET", target, headers=self._headers)
            response = self.connection.getresponse()
            return response.status, response.read(), {k.lower(): v for k, v in response.getheaders()}
        except Exception:
            self.connection.close()
            raise

    def get(self, path: str, query: Pairs | None = None) -> Reply:
        status, body, headers = self.raw(f"{path}?{urlencode(query)}" if query else path)
        return Reply(status, json.loads(body), headers)

    def post(self, path: str, body: Any) -> Reply:
        headers = {**self._headers, "Content-Type": "application/json"}
        self.connection.request("POST", path, json.dumps(body), headers)
        response = self.connection.getresponse()
        return Reply(response.status, json.loads(response.read()), dict(response.getheaders()))

    def read(self, path: str, query: Pairs | None = None) -> list[dict[str, Any]]:
        """Read a list to its end: take the cursor or offset from each next link and keep the other parameters."""
        found: list[dict[str, Any]] = []
        place: Pairs = []
        while True:
            reply = self.get(path, [*(query or []), *place])
            assert reply.status == 200, reply.body
            if isinstance(reply.body, list) or "results" not in reply.body:
                return reply.body if isinstance(reply.body, list) else [reply.body]
            found += reply.body["results"]
            link = reply.body["_links"].get("next") or inner_link(reply.body["results"])
            if link is None:
                return found
            given = parse_qs(link.partition("?")[2])
            place = [(name, given[name][0]) for name in ("cursor", "start") if name in given]


def inner_link(results: list[dict[str, Any]]) -> str | None:
    """Return the next link of a list of users or groups in a restriction; a list of groups has none, but is full."""
    for restriction in results:
        for each in (restriction.get("restrictions") or {}).values() if "operation" in restriction else ():
            if "results" in each and len(each["results"]) == each["limit"]:
                return f"?start={each['start'] + each['limit']}"
    return None


def paths_of(operation: Operation, site: Site) -> list[str]:
    """Return every path of an operation: one, or one for each parent record."""
    if "{" not in operation.path:
        return [operation.path]
    names = operation.parents or operation.collections
    parents = [record for name in names for record in site.records(name)]
    for field, wanted in operation.only.items():
        if not operation.parents:
            parents = [record for record in parents if record[field] in wanted]
    if operation.api == "v1":  # for which content in the trash does not exist
        parents = [record for record in parents if record.get("status") not in ("trashed", "deleted")]
    before, _, after = operation.path.partition("{")
    return [before + record[operation.parent_field] + after.partition("}")[2] for record in parents]


def queries_of(operation: Operation, site: Site) -> list[Pairs]:
    """Return the queries with which an operation returns all its records."""
    if operation.path == SEARCH:
        kinds = ("folder", "whiteboard", "database", "embed")
        return [[("cql", f"type={kind}"), ("includeArchivedSpaces", "true")] for kind in kinds]
    if operation.path.endswith("/content/search"):
        every = "page, blogpost, folder, whiteboard, database, embed"
        parts = ",".join(operation.parameters["expand"].values)
        return [
            [("cql", f"type in ({every})"), ("expand", parts)],
            [("cql", "type=page"), ("expand", "space")],
        ]
    if operation.path.endswith("/search/user"):
        return [[("cql", "type=user"), ("sitePermissionTypeFilter", "all")]]
    if operation.path.endswith("/user/bulk"):
        return [[("accountId", user["accountId"]) for user in site.records("users")]]
    if operation.path.endswith("/group/by-id"):
        return [[("id", group["id"])] for group in site.records("groups")]
    if operation.path.endswith("/custom-content"):
        return [[("type", f"ac:com.norrvik.{each}")] for each in ("survey:answer", "risks:risk")]
    status = operation.parameters.get("status")
    if status and status.field and status.many:
        return [[("status", value) for value in status.values]]
    return [[("status", value)] for value in status.values] if status and status.field else [[]]
