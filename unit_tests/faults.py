"""The faults that tests inject into the embedded site, and the families of streams that they affect.

A row of the table in docs/promises.md is a fault, a column is a family.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_confluence import Request, Server
    from unit_tests.clock import Clock

V1, V2 = "/wiki/rest/api", "/wiki/api/v2"
LIST, OBJECT, ARRAY = "list", "object", "array"


@dataclass(frozen=True)
class Family:
    """Streams that are read in the same way, and the stream that represents them.

    Attributes:
        match: Matches the requests of this stream only.
        below: The field with the id of the parent; empty if the stream has no parent.
    """

    stream: str
    match: str
    kind: str = LIST
    below: str = ""


FAMILIES = {
    "site": Family("tasks", f"{V2}/tasks"),
    "groups of spaces": Family("pages", rf"{V2}/pages\?.*body-format"),
    "below a space": Family("space_permissions", f"{V2}/spaces/{{id}}/permissions", below="spaceId"),
    "below a page": Family("page_properties", f"{V2}/pages/{{page-id}}/properties", below="pageId"),
    "below a label": Family("page_labels", f"{V2}/labels/{{id}}/pages", below="labelId"),
    "v1": Family("group", f"{V1}/group"),
    "search": Family("tree_item_index", rf"{V1}/search\?"),
    "one object": Family("rendered_pages", f"{V2}/pages/{{id}}", OBJECT, below="id"),
    "array": Family("classification_levels", f"{V2}/classification-levels", ARRAY),
}
LISTS = [name for name, family in FAMILIES.items() if family.kind == LIST]
CHILDREN = [name for name, family in FAMILIES.items() if family.below]


@dataclass
class Scene:
    """Where a fault is injected."""

    server: Server
    other: Server
    clock: Clock
    family: Family

    def fail(self, **how: Any) -> Any:
        """Make requests of the family fail: by default one request, the second."""
        return self.server.fail(self.family.match, **{"after": 0 if self.family.kind == ARRAY else 1, **how})

    def before(self, callback: Callable[[Request], object]) -> None:
        """Call back before the site responds to a request of the family."""
        self.server.before(self.family.match, callback)


@dataclass(frozen=True)
class Fault:
    """A fault: a row of the table.

    Attributes:
        ends: How a read must end: "reads on" with every record once, "fails", or "skips" a parent.
        families: The families that it can affect.
        inject: The function that injects it.
        timed: Whether real time passes: timeouts must be short.
        covered: Whether another row tests the same code: only `make faults` runs this row.
    """

    name: str
    ends: str
    inject: Any
    families: list[str] = field(default_factory=lambda: list(FAMILIES))
    timed: bool = False
    covered: bool = False


# ------------------------------------------------------------------ how to inject a fault


def once(**how: Any) -> Any:
    """Inject a fault into one request."""
    return lambda scene: scene.fail(times=1, **how)


def always(**how: Any) -> Any:
    """Inject a fault into every request after the first."""
    return lambda scene: scene.fail(times=None, **how)


def retry_date(scene: Scene) -> None:
    """Return 429 with the end of the wait as an HTTP date."""
    at = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=45)
    scene.fail(status=429, headers={"Retry-After": format_datetime(at, usegmt=True)})


def reset_time(scene: Scene) -> None:
    """Return 429 with the end of the wait as Confluence writes it."""
    at = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=45)
    scene.fail(status=429, headers={"X-RateLimit-Reset": at.isoformat().replace("+00:00", "Z")})


def busy_for_a_minute(scene: Scene) -> None:
    """Return 429 until the client has waited for a minute."""
    fault = scene.fail(status=429, headers={"Retry-After": "1"}, times=None)

    def look(request: Request) -> None:
        if scene.clock.waited[f"{scene.server.url}{request.target}"] >= 60:
            fault.times = 0

    scene.before(look)


def large_pages_time_out(scene: Scene) -> None:
    """Time out on every page of 40 records or more."""
    scene.server.fail(rf"(?=.*limit=([4-9]\d|\d{{3,}})){_regex(scene)}", status=504, times=None, after=1)


def _regex(scene: Scene) -> str:
    """Return a regular expression that matches the path and query of the family's requests."""
    return re.sub(r"\{[^}]*\}", "[^/?]+", scene.family.match) + (
        "" if "?" in scene.family.match else r"(\?|$)"
    )


def half(body: bytes) -> bytes:
    """Drop the second half of the body."""
    return body[: len(body) // 2]


def no_utf8(body: bytes) -> bytes:
    """Put a byte that is not valid UTF-8 into a text."""
    return body.replace(b'":"', b'":"\xff', 1)


def packed_and_cut(body: bytes) -> bytes:
    """Compress the body, and drop the second half."""
    return half(gzip.compress(body))


def to_another_host(scene: Scene) -> None:
    """Redirect to a site where the credential is not valid."""
    scene.fail(how="redirect", headers={"Location": f"{scene.other.url}{V2}/spaces"}, times=None)


def links(prefix: str) -> Any:
    """Put this prefix in front of every next link."""

    def inject(scene: Scene) -> None:
        start = prefix.format(other=scene.other.url.removeprefix("http://"))

        def lead_away(body: bytes) -> bytes:
            page = json.loads(body)
            if page["_links"].get("next"):
                page["_links"]["next"] = start + page["_links"]["next"]
            return json.dumps(page).encode()

        scene.fail(body=lead_away, times=None, after=0)

    return inject


def without_cursor(body: bytes) -> bytes:
    """Link to a next page without a cursor."""
    page = json.loads(body)
    return json.dumps({**page, "_links": {"next": f"{V2}/anything?limit=250"}}).encode()


PLACES = ("cursor", "start")


def circle(of: int) -> Any:
    """Return the first page again after this many pages."""

    def inject(scene: Scene) -> None:
        seen: dict[str, list[str]] = {}

        def back_to_the_first(request: Request) -> None:
            path, _, query = request.target.partition("?")
            pairs = parse_qsl(query)
            kept = [pair for pair in pairs if pair[0] not in PLACES]
            at = "".join(value for name, value in pairs if name in PLACES)
            followed = seen.setdefault(f"{path}?{urlencode(kept)}", [])
            if at and at not in followed:
                followed.append(at)
            if at in followed[of - 1 :]:
                request.target = f"{path}?{urlencode(kept)}"

        scene.before(back_to_the_first)

    return inject


def empty_first(scene: Scene) -> None:
    """Start each list with an empty page; return the first page of records on the second request."""

    def empty(body: bytes) -> bytes:
        page = json.loads(body)
        return json.dumps({**page, "results": [], "_links": {"next": "?cursor=second&start=7777"}}).encode()

    def genuine(request: Request) -> None:
        request.target = request.target.replace("cursor=second", "").replace("start=7777", "").rstrip("?&")

    scene.fail(body=empty, times=1, after=0)
    scene.before(genuine)


def revoke(scene: Scene) -> None:
    """Revoke the credential after the first request."""
    counted: list[Request] = []

    def forget_credential(request: Request) -> None:
        if len(counted) > 1 or (counted and scene.family.kind == ARRAY):
            request.headers["authorization"] = "Basic bm9ib2R5OndpdGhvdXQ="

    def count(request: Request) -> None:
        counted.append(request)
        forget_credential(request)

    scene.before(count)
    scene.server.before("/wiki/rest/api/user/current", forget_credential)
    scene.server.fail(r"/spaces\?limit=1$", times=None, status=404)  # the response to a revoked credential


def delete_parent(scene: Scene) -> None:
    """Delete all parents but the first that is requested, before the site responds."""
    requested: list[str] = []

    def vanish(request: Request) -> None:
        if request.path not in requested:
            requested.append(request.path)
            if requested.index(request.path) >= 1:
                (parent,) = re.findall(r"/([0-9]+)", request.path)
                itself = rf"(/(pages|spaces)/|label-id=){parent}([?&]|$)"
                for gone in (re.escape(request.path) + r"(\?|$)", itself):
                    scene.server.fail(gone, times=None, status=404, body=GONE)

    scene.before(vanish)


FORBIDDEN = json.dumps({"message": "The current user may not see this", "statusCode": 403}).encode()
GONE = json.dumps(
    {"errors": [{"status": 404, "code": "NOT_FOUND", "title": "Nothing with id 1 was found", "detail": None}]}
).encode()
HTML = b"<!doctype html><title>Sign in</title><p>Welcome"
HTML_TYPE = {"Content-Type": "text/html;charset=UTF-8"}

FAULTS = [
    Fault(
        "429, Retry-After in seconds",
        "reads on",
        once(status=429, headers={"Retry-After": "45"}),
        covered=True,
    ),
    Fault("429, Retry-After as a date", "reads on", retry_date),
    Fault("429, Retry-After: 0", "reads on", once(status=429, headers={"Retry-After": "0"}), covered=True),
    Fault("429 without Retry-After", "reads on", once(status=429), covered=True),
    Fault("429, X-RateLimit-Reset as a time", "reads on", reset_time),
    Fault(
        "429, Retry-After of 50 minutes",
        "reads on",
        once(status=429, headers={"Retry-After": "3000"}),
        covered=True,
    ),
    Fault(
        "429, Retry-After of a day", "fails", once(status=429, headers={"Retry-After": "86400"}), covered=True
    ),
    Fault("429 for a whole minute", "reads on", busy_for_a_minute),
    Fault("429 on every request", "fails", always(status=429, headers={"Retry-After": "1"}), covered=True),
    Fault("500 once", "reads on", once(status=500), covered=True),
    Fault("500 on every request", "fails", always(status=500)),
    Fault("502 with a web page", "reads on", once(status=502, body=HTML, headers=HTML_TYPE), covered=True),
    Fault("503 with Retry-After", "reads on", once(status=503, headers={"Retry-After": "45"}), covered=True),
    Fault("504 on pages of 40 records and more", "reads on", large_pages_time_out, LISTS),
    Fault("504 on every request", "fails", always(status=504), covered=True),
    Fault("an unknown status (530)", "reads on", once(status=530), covered=True),
    Fault("dropped before the response", "reads on", once(how="drop"), covered=True),
    Fault("reset before the response", "reads on", once(how="reset")),
    Fault("reset before every response", "fails", always(how="reset"), covered=True),
    Fault("closed in the header", "reads on", once(how="cut head"), covered=True),
    Fault("closed in the body", "reads on", once(how="cut")),
    Fault("closed in every body", "fails", always(how="cut"), covered=True),
    Fault("reset in the body", "reads on", once(how="reset body"), covered=True),
    Fault("half a body, with its own length", "reads on", once(body=half)),
    Fault("half of every body, with its own length", "fails", always(body=half), covered=True),
    Fault("a body longer than its length", "reads on", once(headers={"Content-Length": "40"}), covered=True),
    Fault("invalid UTF-8", "reads on", once(body=no_utf8)),
    Fault("invalid UTF-8 in every body", "fails", always(body=no_utf8)),
    Fault("200 without a body", "reads on", once(status=200, body=b""), covered=True),
    Fault("200 with null", "reads on", once(status=200, body=b"null")),
    Fault("200 without a body, every time", "fails", always(status=200, body=b""), covered=True),
    Fault("200 with a web page", "fails", once(status=200, body=HTML, headers=HTML_TYPE)),
    Fault("gzip cut short", "reads on", once(body=packed_and_cut, headers={"Content-Encoding": "gzip"})),
    Fault(
        "not gzip, although declared", "reads on", once(headers={"Content-Encoding": "gzip"}), covered=True
    ),
    Fault("redirected to another host", "fails", to_another_host),
    Fault("no response", "reads on", once(how="hang"), timed=True),
    Fault("a byte at a time, in the body", "reads on", once(how="drip", seconds=0.05), timed=True),
    Fault("next: the same page", "fails", circle(1), LISTS, covered=True),
    Fault("next: a loop of two pages", "fails", circle(2), LISTS),
    Fault("next: another host", "reads on", links("https://{other}"), LISTS),
    Fault("next: http:", "reads on", links("http://{other}"), LISTS, covered=True),
    Fault("next: //evil", "reads on", links("//{other}"), LISTS, covered=True),
    Fault("next: without a cursor", "fails", always(body=without_cursor), LISTS),
    Fault("next: a cursor that is refused (400)", "fails", once(status=400), LISTS),
    Fault(
        "an empty page with a next-page link",
        "reads on",
        empty_first,
        [f for f in LISTS if f not in ("v1", "search")],
    ),
    Fault("credential revoked during the read", "fails", revoke),
    Fault("permission lost for one of many", "fails", once(status=403, body=FORBIDDEN)),
    Fault("parent deleted during the read", "skips", delete_parent, CHILDREN),
    Fault(
        "404 that names what is missing",
        "fails",
        once(status=404, body=GONE),
        ["site", "groups of spaces", "array"],
        covered=True,
    ),
]
