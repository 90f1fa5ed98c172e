"""Invalid records: each arrives once, or its stream fails and the next read misses nothing."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from common.connector import Output, config_for, connector
from fake_confluence import Request, Server, generate
from fake_confluence.site import format_time
from unit_tests.clock import Clock
from unit_tests.few_streams import sync
from unit_tests.invalid_records import ODD, dated, instead, with_fields, with_links, with_raw, without
from unit_tests.processes import arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAGES, LABELLED = "/wiki/api/v2/pages", "/wiki/api/v2/labels/{id}/pages"
LABELS = r"/labels\?"
ON_A_LABEL = 5_000


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    with Server(generate(pages=20, spaces=2, labels=5, body_bytes=50)) as running:
        yield running


@pytest.fixture
def server(site: Server) -> Iterator[Server]:
    yield site
    site.heal()


def ids(output: Output, stream: str = "pages") -> list[str]:
    return sorted(str(record.get("id")) for record in output.records[stream])


@pytest.mark.parametrize("change", list(ODD.values()), ids=list(ODD))
def test_an_invalid_record_arrives_once_and_hides_no_later_change(
    server: Server, change: Callable[[bytes], bytes]
) -> None:
    pages = sorted(page["id"] for page in server.site.records("pages"))
    server.fail(PAGES, body=change)
    first = sync(server, "pages")
    assert (first.exit_code, first.errors, first.other) == (0, [], [])
    assert ids(first) == pages
    edited = server.site.edit_page(pages[3], at=format_time(datetime.now(timezone.utc)))
    second = sync(server, "pages", state=first.state)
    assert second.exit_code == 0
    assert edited["version"] in [record["version"] for record in second.records["pages"]]


@pytest.mark.parametrize(
    "timestamp", ["1807-01-01T00:00:00.000Z", "0001-01-01T00:00:00.000Z", "", "1 May 2024", None, 5]
)
def test_a_record_with_an_invalid_timestamp_is_read_despite_a_state(server: Server, timestamp: Any) -> None:
    first = sync(server, "pages")
    server.fail(PAGES, body=lambda body: dated(timestamp)(with_fields(id="77")(body)))
    second = sync(server, "pages", state=first.state)
    assert second.exit_code == 0
    assert "77" in ids(second)


def test_a_record_that_is_nested_too_deeply_fails_the_read(server: Server) -> None:
    server.fail(PAGES, body=with_raw("[" * 1_010 + "]" * 1_010))
    failed = sync(server, "pages")
    assert (failed.exit_code, failed.other) == (1, [])
    assert failed.stderr.count("\n") == 1
    again = sync(server, "pages", state=failed.state)
    assert {*ids(failed), *ids(again)} == {page["id"] for page in server.site.records("pages")}
    # The message depends on the version of Python.
    assert "nested too deeply" in failed.stderr or "cannot read (" in failed.stderr


def test_a_numeric_id_becomes_text(server: Server) -> None:
    server.fail(PAGES, body=with_fields(id=77))
    output = sync(server, "pages")
    assert output.exit_code == 0
    assert len(output.records["pages"]) == 20
    assert "77" in ids(output)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("id"), "a record of pages without id"),
        (with_fields(id=None), "a record of pages without id"),
        (instead(None), "cannot read ("),
        (instead("a page"), "cannot read ("),
        (instead([]), "cannot read ("),
        (with_raw("[" * 5_000 + "]" * 5_000), "cannot read ("),
        (with_links("text"), "leads nowhere"),
        (with_links(5), "leads nowhere"),
        (with_links({"next": 5}), "leads nowhere"),
        (with_links({"next": "/wiki/elsewhere"}), "leads nowhere"),
    ],
    ids=[
        "no id",
        "null for an id",
        "null",
        "text",
        "a list",
        "nested without end",
        "text for links",
        "a number for links",
        "a number for a link",
        "a link without a cursor",
    ],
)
def test_an_unusable_record_fails_the_stream_and_the_next_read_misses_nothing(
    server: Server, change: Callable[[bytes], bytes], words: str
) -> None:
    server.fail(PAGES, body=change)
    failed = sync(server, "pages")
    assert (failed.exit_code, failed.other) == (1, [])
    assert failed.statuses == {"pages": "INCOMPLETE"}
    assert words in failed.stderr
    assert all(words in sentence for sentence in failed.errors)
    assert "Traceback" not in failed.stderr
    second = sync(server, "pages", state=failed.state)
    assert second.exit_code == 0
    assert ids(second) == sorted(page["id"] for page in server.site.records("pages"))


@pytest.mark.parametrize("change", [with_fields(id=None), without("id")], ids=["null", "missing"])
def test_a_parent_without_id_fails_its_child_stream(server: Server, change: Callable[[bytes], bytes]) -> None:
    server.fail(LABELS, times=None, body=change)
    failed = sync(server, "page_labels", "labels")
    assert failed.exit_code == 1
    assert failed.statuses["page_labels"] == "INCOMPLETE"
    assert "page_labels: Confluence returned a record of labels without id" in failed.stderr


def test_a_label_on_many_pages_is_read_completely() -> None:
    with Server(generate(pages=ON_A_LABEL, spaces=2, labels=1, body_bytes=0)) as server:
        output = sync(server, "page_labels", "labels")
        assert output.exit_code == 0
        found = [record["pageId"] for record in output.records["page_labels"]]
        assert len(found) == ON_A_LABEL
        assert set(found) == {page["id"] for page in server.site.records("pages")}
        assert len(server.requests_to(LABELLED)) == ON_A_LABEL / 250


def test_all_unicode_planes_and_large_bodies_are_printed_unchanged(tmp_path: Path) -> None:
    planes = "".join(chr(plane * 0x10000 + at) for plane in range(17) for at in (0x41, 0xD7FF, 0xFFFD))
    large = "ß" * 2_600_000  # more than 5 MB in UTF-8
    half = "\ud83d"
    site = generate(pages=20, spaces=2, body_bytes=0)
    for page, title in zip(site.records("pages"), (planes, large, "half"), strict=False):
        page["title"] = title
    with Server(site) as hostile:
        hostile.fail(PAGES, times=None, body=lambda body: body.replace(b'"half"', json.dumps(half).encode()))
        args = arguments(tmp_path, hostile, "pages", "space")
        ran = subprocess.run(args, capture_output=True, check=False, timeout=600)
    assert (ran.returncode, ran.stderr) == (0, b"")
    messages = [json.loads(line) for line in ran.stdout.decode("utf-8").splitlines()]
    records = [m["record"]["data"] for m in messages if m["type"] == "RECORD"]
    titles = [record["title"] for record in records if "title" in record]
    assert len(titles) == 20
    assert {planes, large, half} <= set(titles)


@pytest.mark.parametrize("places", [[11], [0, 29]])
def test_bodies_that_confluence_cannot_return_are_named_and_the_others_arrive(places: list[int]) -> None:
    with Clock(), Server(generate(pages=30, spaces=2)) as server:
        pages = server.site.records("pages")
        bad = {pages[place]["id"]: pages[place]["spaceId"] for place in places}

        def refuse(request: Request) -> None:
            asked, spaces = (",".join(request.values(name)) for name in ("id", "space-id"))
            has_one = any(page in asked if asked else space in spaces for page, space in bad.items())
            if request.values("body-format") and has_one:
                server.fail(re.escape(request.target), status=500)

        server.before(PAGES, refuse)
        output = connector("read", config_for(server), select=["pages"])
        assert output.exit_code == 1
        assert sorted(ids(output)) == sorted(page["id"] for page in pages if page["id"] not in bad)
        assert all(record["body"] for record in output.records["pages"])
        told = "".join(re.findall(r"cannot return the body of ([0-9, ]+) \(500\)", output.stderr))
        assert all(page in told for page in bad)
        server.heal()
        again = connector("read", config_for(server), select=["pages"], state=output.state, incremental=True)
        assert bad.keys() <= set(ids(again))


def test_bodies_that_arrive_in_short_pages_arrive_all() -> None:
    def short(body: bytes) -> bytes:
        page = json.loads(body)
        return json.dumps({**page, "results": page["results"][:2]}).encode()

    with Clock(), Server(generate(pages=30, spaces=1)) as server:
        server.fail(PAGES + r"\?(?!.*[?&]id=).*body-format", times=None, status=500)
        server.fail(PAGES + r"\?.*[?&]id=", times=None, body=short)
        output = connector("read", config_for(server), select=["pages"])
    assert (output.exit_code, sorted(ids(output))) == (
        0,
        sorted(r["id"] for r in server.site.records("pages")),
    )


def test_a_site_that_returns_no_page_at_all_is_not_asked_for_each() -> None:
    with Clock(), Server(generate(pages=30, spaces=1)) as server:
        server.fail(PAGES, times=None, status=500)
        output = connector("read", config_for(server), select=["pages"])
        assert output.exit_code == 1
        assert not any(request.values("id") for request in server.requests_to(PAGES))


def test_an_empty_list_that_fails_with_its_bodies_stays_empty() -> None:
    with Clock(), Server(generate(pages=30, spaces=1)) as server:
        server.fail(PAGES + r"\?.*body-format", times=None, status=500)
        server.fail(PAGES, body=b'{"results": [], "_links": {}}')
        output = connector("read", config_for(server), select=["pages"])
        assert (output.exit_code, output.records["pages"]) == (0, [])
