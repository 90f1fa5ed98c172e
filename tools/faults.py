"""Read every family of streams under every fault, and write down how it ends.

    python -m tools.faults          prints the table and puts it into docs/promises.md; takes some minutes
    python -m tools.faults NAME …   prints only the rows whose name holds one of these words

The waits are counted, not waited for. unit_tests/test_faults.py holds the page against runs of its own.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import logging
import re
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlencode

import backoff._sync
from airbyte_cdk.sources.declarative.retrievers import page_size_reducer
from airbyte_cdk.sources.streams.http import rate_limiting

from fake_confluence import Request, Server, Site, company
from source_confluence import source
from source_confluence.components import api_budget, requester
from tools.derive import ROOT, between_marks
from unit_tests.conftest import Output, config_for, connector, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Self

PAGE = ROOT / "docs" / "promises.md"
V1, V2 = "/wiki/rest/api", "/wiki/api/v2"
LONGEST_READ = 120.0  # real seconds, after which a read is taken for one without end
LIST, OBJECT, ARRAY = "list", "object", "array"


@dataclass(frozen=True)
class Family:
    """Streams that are read in the same way, and the one that stands for them.

    Attributes:
        match: Finds the requests of this stream alone.
        below: The field with the parent for whose records it asks; empty where it asks for all.
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


class Clock:
    """Time that passes without being waited for, in each thread by itself.

    Attributes:
        waited: Seconds by the address of the request that they were waited for, or by the list's reducer.
    """

    def __init__(self) -> None:
        self.waited: defaultdict[object, float] = defaultdict(float)
        self._mine = threading.local()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.let_pass(seconds)
        request = getattr(sys.exc_info()[1], "request", None)
        caller = sys._getframe(1).f_locals.get("self")  # noqa: SLF001 - a reducer does not say for what it waits
        self.waited[request.url if request else caller] += seconds

    def let_pass(self, seconds: float) -> None:
        """Let time pass for the sake of others' requests."""
        self._mine.slept = self.slept + seconds

    @property
    def slept(self) -> float:
        """What has passed in this thread."""
        return float(getattr(self._mine, "slept", 0.0))

    def now(self) -> dt.datetime:
        """Return the time of this thread."""
        return dt.datetime.now().astimezone() + dt.timedelta(seconds=self.slept)

    def monotonic(self) -> float:
        """Return it as a number."""
        return time.monotonic() + self.slept

    def __enter__(self) -> Self:
        """Take the place of the clock by which the CDK waits."""
        sleeping = SimpleNamespace(sleep=self.sleep)
        self._patches = ExitStack()
        for module in (rate_limiting, page_size_reducer, backoff._sync):  # noqa: SLF001 - it has no other name
            self._patches.enter_context(patch.object(module, "time", sleeping))
        pacing = SimpleNamespace(monotonic=self.monotonic, sleep=self.let_pass)
        self._patches.enter_context(patch.object(api_budget, "time", pacing))
        ours = SimpleNamespace(datetime=SimpleNamespace(now=self.now))
        self._patches.enter_context(patch.object(backoff._sync, "datetime", ours))  # noqa: SLF001 - as above
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self._patches.close()


@dataclass
class Scene:
    """Where a fault is ordered."""

    server: Server
    other: Server
    clock: Clock
    family: Family

    def fail(self, **how: Any) -> Any:
        """Make requests of the family fail; unless told otherwise once, and the second of them."""
        return self.server.fail(self.family.match, **{"after": 0 if self.family.kind == ARRAY else 1, **how})

    def before(self, callback: Callable[[Request], object]) -> None:
        """Call back before a request of the family is answered."""
        self.server.before(self.family.match, callback)


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    Attributes:
        ends: How a read must end: "reads on" with every record once, "fails", or "skips" a parent.
        families: To which it can happen.
        order: Makes it happen.
        timed: Whether real time passes, so that timeouts must be short.
    """

    name: str
    ends: str
    order: Any
    families: list[str] = field(default_factory=lambda: list(FAMILIES))
    timed: bool = False


# ------------------------------------------------------------------ what can be ordered


def once(**how: Any) -> Any:
    """Order a fault for one request."""
    return lambda scene: scene.fail(times=1, **how)


def always(**how: Any) -> Any:
    """Order a fault for every request after the first."""
    return lambda scene: scene.fail(times=None, **how)


def retry_date(scene: Scene) -> None:
    """Say until when to wait as HTTP does."""
    at = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=45)
    scene.fail(status=429, headers={"Retry-After": format_datetime(at, usegmt=True)})


def reset_time(scene: Scene) -> None:
    """Say until when to wait as Confluence does."""
    at = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=45)
    scene.fail(status=429, headers={"X-RateLimit-Reset": at.isoformat().replace("+00:00", "Z")})


def busy_for_a_minute(scene: Scene) -> None:
    """Answer 429 until somebody has waited for a minute."""
    fault = scene.fail(status=429, headers={"Retry-After": "1"}, times=None)

    def look(request: Request) -> None:
        if scene.clock.waited[f"{scene.server.url}{request.target}"] >= 60:  # noqa: PLR2004 - a minute
            fault.times = 0

    scene.before(look)


def large_pages_time_out(scene: Scene) -> None:
    """Make no page of 40 records or more in time."""
    scene.server.fail(rf"(?=.*limit=([4-9]\d|\d{{3,}})){_regex(scene)}", status=504, times=None, after=1)


def _regex(scene: Scene) -> str:
    """Return what finds the family's requests in path and query."""
    return re.sub(r"\{[^}]*\}", "[^/?]+", scene.family.match) + (
        "" if "?" in scene.family.match else r"(\?|$)"
    )


def half(body: bytes) -> bytes:
    """Leave the second half away."""
    return body[: len(body) // 2]


def no_utf8(body: bytes) -> bytes:
    """Put a byte into a text that is none of UTF-8."""
    return body.replace(b'":"', b'":"\xff', 1)


def packed_and_cut(body: bytes) -> bytes:
    """Compress, and leave the second half away."""
    return half(gzip.compress(body))


def to_another_host(scene: Scene) -> None:
    """Redirect to a site that knows nobody."""
    scene.fail(how="redirect", headers={"Location": f"{scene.other.url}{V2}/spaces"}, times=None)


def links(prefix: str) -> Any:
    """Have every link begin with another address."""

    def order(scene: Scene) -> None:
        start = prefix.format(other=scene.other.url.removeprefix("http://"))

        def lead_away(body: bytes) -> bytes:
            page = json.loads(body)
            if page["_links"].get("next"):
                page["_links"]["next"] = start + page["_links"]["next"]
            return json.dumps(page).encode()

        scene.fail(body=lead_away, times=None, after=0)

    return order


def without_place(body: bytes) -> bytes:
    """Link to a next page without saying where it begins."""
    page = json.loads(body)
    return json.dumps({**page, "_links": {"next": f"{V2}/anything?limit=250"}}).encode()


PLACES = ("cursor", "start")


def circle(of: int) -> Any:
    """Answer as if lists began anew after some pages."""

    def order(scene: Scene) -> None:
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

    return order


def empty_first(scene: Scene) -> None:
    """Answer each list with an empty page, and give its own on the second request."""

    def empty(body: bytes) -> bytes:
        page = json.loads(body)
        return json.dumps({**page, "results": [], "_links": {"next": "?cursor=second&start=7777"}}).encode()

    def genuine(request: Request) -> None:
        request.target = request.target.replace("cursor=second", "").replace("start=7777", "").rstrip("?&")

    scene.fail(body=empty, times=1, after=0)
    scene.before(genuine)


def revoke(scene: Scene) -> None:
    """Know the credential no more after the first request."""
    counted: list[Request] = []

    def forget_credential(request: Request) -> None:
        counted.append(request)
        if len(counted) > 1 or scene.family.kind == ARRAY:
            request.headers["authorization"] = "Basic bm9ib2R5OndpdGhvdXQ="

    scene.before(forget_credential)
    scene.server.fail(r"/spaces\?limit=1$", times=None, status=404)  # which tells a dead credential


def delete_parent(scene: Scene) -> None:
    """Delete the second parent for which there is a request, before its response."""
    asked: list[str] = []

    def vanish(request: Request) -> None:
        if request.path not in asked:
            asked.append(request.path)
            if asked.index(request.path) == 1:
                scene.server.fail(re.escape(request.path) + r"(\?|$)", times=None, status=404, body=GONE)

    scene.before(vanish)


FORBIDDEN = json.dumps({"message": "The current user may not see this", "statusCode": 403}).encode()
GONE = json.dumps(
    {"errors": [{"status": 404, "code": "NOT_FOUND", "title": "Nothing with id 1 was found", "detail": None}]}
).encode()
HTML = b"<!doctype html><title>Sign in</title><p>Welcome"
HTML_TYPE = {"Content-Type": "text/html;charset=UTF-8"}

FAULTS = [
    Fault("429, Retry-After in seconds", "reads on", once(status=429, headers={"Retry-After": "45"})),
    Fault("429, Retry-After as a date", "reads on", retry_date),
    Fault("429, Retry-After: 0", "reads on", once(status=429, headers={"Retry-After": "0"})),
    Fault("429 without Retry-After", "reads on", once(status=429)),
    Fault("429, X-RateLimit-Reset as a time", "reads on", reset_time),
    Fault("429, Retry-After of 50 minutes", "reads on", once(status=429, headers={"Retry-After": "3000"})),
    Fault("429, Retry-After of a day", "fails", once(status=429, headers={"Retry-After": "86400"})),
    Fault("429 for a whole minute", "reads on", busy_for_a_minute),
    Fault("429 on every request", "fails", always(status=429, headers={"Retry-After": "1"})),
    Fault("500 once", "reads on", once(status=500)),
    Fault("500 on every request", "fails", always(status=500)),
    Fault("502 with a web page", "reads on", once(status=502, body=HTML, headers=HTML_TYPE)),
    Fault("503 with Retry-After", "reads on", once(status=503, headers={"Retry-After": "45"})),
    Fault("504 on pages of 40 records and more", "reads on", large_pages_time_out, LISTS),
    Fault("504 on every request", "fails", always(status=504)),
    Fault("an unknown status (530)", "reads on", once(status=530)),
    Fault("dropped before the response", "reads on", once(how="drop")),
    Fault("reset before the response", "reads on", once(how="reset")),
    Fault("reset before every response", "fails", always(how="reset")),
    Fault("closed in the header", "reads on", once(how="cut head")),
    Fault("closed in the body", "reads on", once(how="cut")),
    Fault("closed in every body", "fails", always(how="cut")),
    Fault("reset in the body", "reads on", once(how="reset body")),
    Fault("half a body, with its own length", "reads on", once(body=half)),
    Fault("half of every body, with its own length", "fails", always(body=half)),
    Fault("a body longer than its length", "reads on", once(headers={"Content-Length": "40"})),
    Fault("invalid UTF-8", "reads on", once(body=no_utf8)),
    Fault("invalid UTF-8 in every body", "fails", always(body=no_utf8)),
    Fault("200 without a body", "reads on", once(status=200, body=b"")),
    Fault("200 with null", "reads on", once(status=200, body=b"null")),
    Fault("200 without a body, every time", "fails", always(status=200, body=b"")),
    Fault("200 with a web page", "fails", once(status=200, body=HTML, headers=HTML_TYPE)),
    Fault("gzip cut short", "reads on", once(body=packed_and_cut, headers={"Content-Encoding": "gzip"})),
    Fault("not gzip, although declared", "reads on", once(headers={"Content-Encoding": "gzip"})),
    Fault("redirected to another host", "fails", to_another_host),
    Fault("no response", "reads on", once(how="hang"), timed=True),
    Fault("a byte at a time, in the body", "reads on", once(how="drip", seconds=0.05), timed=True),
    Fault("next: the same page", "fails", circle(1), LISTS),
    Fault("next: a loop of two pages", "fails", circle(2), LISTS),
    Fault("next: another host", "reads on", links("https://{other}"), LISTS),
    Fault("next: http:", "reads on", links("http://{other}"), LISTS),
    Fault("next: //evil", "reads on", links("//{other}"), LISTS),
    Fault("next: without a cursor", "fails", always(body=without_place), LISTS),
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
    ),
]


# ------------------------------------------------------------------ one row


def small_site() -> Site:
    """Return the company with few labels, and lists of three pages or more in every family."""
    site = company()
    site.collections["labels"] = [
        label for label in site.records("labels") if len(label["_contentSpaces"]) > 1
    ][:6]
    for collection in ("page_properties", "tree_items"):
        for _ in range(5):
            site.add(collection, {**site.records(collection)[0], "id": site.new_id()})
    return site


@contextmanager
def short_timeouts() -> Iterator[None]:
    """Wait for two seconds where the manifest and the package wait for minutes."""
    text = source.MANIFEST.read_text(encoding="utf-8")
    assert "read_timeout_in_seconds: 120" in text
    with TemporaryDirectory() as directory:
        manifest = Path(directory) / "manifest.yaml"
        text = text.replace("read_timeout_in_seconds: 120", "read_timeout_in_seconds: 2")
        manifest.write_text(text, encoding="utf-8")
        with patch.object(source, "MANIFEST", manifest), patch.object(requester, "RESPONSE_SECONDS", 2):
            yield


class Stage:
    """Where the rows are run, one after the other."""

    def __init__(self) -> None:
        self.server = Server(small_site(), max_page=2)
        self.other = Server(company(), token="of-another-site")  # noqa: S106 - it opens nothing
        self.log = io.StringIO()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Serve, and read once without a fault."""
        for handler in logging.getLogger().handlers:
            if type(handler) is logging.StreamHandler:  # the CDK's, on the stdout of when it was imported
                self._open.callback(handler.setStream, handler.setStream(self.log) or handler.stream)
        self._open.enter_context(self.server)
        self._open.enter_context(self.other)
        self.config = config_for(self.server, space_keys=["ENG", "ds"])
        streams = [family.stream for family in FAMILIES.values()]
        self.whole = self._read(streams)
        assert (self.whole.exit_code, self.whole.errors) == (0, [])
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self._open.close()

    def run(self, fault: Fault) -> tuple[dict[str, str], float]:
        """Read under a fault, and once more without it where that failed.

        Returns:
            How each family ended, and the longest that was waited for one request.

        Raises:
            AssertionError: It ended in none of the ways in which it may.
        """
        families = [FAMILIES[name] for name in fault.families]
        with Clock() as clock:
            self.order(fault, families, clock)
            self.log.seek(0)
            self.log.truncate()
            with short_timeouts() if fault.timed else nullcontext():
                first = self._read([family.stream for family in families])
            log = self.log.getvalue()
        self.server.heal()
        assert not [request for request in self.other.log if "authorization" in request.headers]
        self.other.log.clear()
        failed = [family.stream for family in families if first.statuses.get(family.stream) != "COMPLETE"]
        again = self._read(failed, state=first.state) if failed else Output()
        ends = {name: verdict(FAMILIES[name], self.whole, first, log, again) for name in fault.families}
        return ends, max(clock.waited.values(), default=0.0)

    def order(self, fault: Fault, families: Iterable[Family], clock: Clock) -> None:
        """Make a fault happen to families."""
        for family in families:
            fault.order(Scene(self.server, self.other, clock, family))

    def _read(self, streams: list[str], state: Any = None) -> Output:
        """Read incrementally, and not for ever."""
        found: list[Output] = []
        read = partial(connector, "read", self.config, select=streams, state=state, incremental=True)
        thread = threading.Thread(target=lambda: found.append(read()), daemon=True)
        thread.start()
        thread.join(LONGEST_READ)
        if not found:
            self.server.close()
            raise AssertionError(f"{', '.join(streams)}: no end after {LONGEST_READ:.0f} s")
        self.server.log.clear()
        return found[0]


def verdict(family: Family, whole: Output, first: Output, log: str, again: Output) -> str:
    """Say how a read ended: "reads on", "skips" or "fails".

    Args:
        family: Of which of its streams.
        whole: A read without faults.
        first: The read under a fault.
        log: What that one logged.
        again: The read after it, of the streams that failed.

    Raises:
        AssertionError: Something is missing, twice there or not said, or cannot be made good.
    """
    stream = family.stream
    wanted = {key_of(stream, record) for record in whole.records[stream]}
    got = Counter(key_of(stream, record) for record in first.records[stream])
    if first.statuses[stream] == "COMPLETE":
        assert set(got.values()) <= {1}, f"{stream}: records came twice"
        missing = [record for record in whole.records[stream] if key_of(stream, record) not in got]
        if missing:
            told = family.below and "deleted during the sync" in log
            assert told, f"{stream}: {len(missing)} records are missing, and it calls itself complete"
            assert len({record[family.below] for record in missing}) == 1
        return "skips" if missing else "reads on"
    assert first.exit_code == 1, f"{stream}: failed with exit code {first.exit_code}"
    said = [
        m["trace"]["error"] for m in first.messages if m["type"] == "TRACE" and m["trace"]["type"] == "ERROR"
    ]
    sentences = [
        error["message"] for error in said if (error.get("stream_descriptor") or {}).get("name") == stream
    ]
    assert sentences, f"{stream}: failed without a word"
    for sentence in sentences:
        ours = sentence.partition("Confluence says:")[0]
        assert not re.search(r"Traceback|Exception|Error\(|object at 0x|<|HTTP Status Code", ours), sentence
        assert re.match(r"\S.*[.]$", sentence, re.DOTALL), sentence
    assert "Traceback" not in first.stderr
    assert again.exit_code == 0, again.errors
    assert again.statuses[stream] == "COMPLETE"
    lost = wanted - got.keys() - {key_of(stream, record) for record in again.records[stream]}
    assert not lost, f"{stream}: {len(lost)} of {len(wanted)} records are in neither read"
    return "fails"


# ------------------------------------------------------------------ the table


def table_row(fault: Fault, ends: dict[str, str]) -> str:
    """Return the row of a fault, but for what was waited."""
    return f"| {fault.name} | {' | '.join(ends.get(name, '-') for name in FAMILIES)} |"


def main() -> None:
    """Run the faults, print the table, and keep it if it is whole."""
    words = sys.argv[1:]
    lines = [f"| | {' | '.join(FAMILIES)} | waited |", f"|:--|{':--|' * len(FAMILIES)}--:|"]
    with Stage() as stage:
        print("\n".join(lines))
        for fault in FAULTS:
            if not words or any(word in fault.name for word in words):
                ends, waited = stage.run(fault)
                lines.append(f"{table_row(fault, ends)} {waited:.0f} s |")
                print(lines[-1], flush=True)
    if not words:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(between_marks(text, "faults", "\n".join([*lines, ""])), encoding="utf-8")


if __name__ == "__main__":
    main()
