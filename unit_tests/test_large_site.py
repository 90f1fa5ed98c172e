"""Sites as large as those of customers: every record arrives once, with as few requests as possible."""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import TYPE_CHECKING

import pytest
from airbyte_cdk.sources.concurrent_source.thread_pool_manager import ThreadPoolManager
from jsonschema import Draft7Validator

from common.connector import STREAMS, Output, config_for, connector, key_of
from fake_confluence import Server, generate
from source_confluence import source

if TYPE_CHECKING:
    from collections.abc import Iterator

V1, V2 = "/wiki/rest/api", "/wiki/api/v2"
FIVE = {"space": "spaces", "pages": "pages", "blog_posts": "blog_posts", "group": "groups", "audit": "audit"}
PENDING, PARENTS = 1_000, 1_040


@pytest.fixture(scope="module")
def large() -> Iterator[tuple[Server, Output]]:
    site = generate(
        pages=20_000, spaces=60, blog_posts=2_000, groups=1_000, audit_events=5_000, body_bytes=200
    )
    with Server(site) as server:
        yield server, connector("read", config_for(server), select=FIVE)


def test_a_large_site_is_read_completely(large: tuple[Server, Output]) -> None:
    server, output = large
    assert output.exit_code == 0
    assert output.statuses == dict.fromkeys(FIVE, "COMPLETE")
    assert {request.status for request in server.log if "authorization" in request.headers} == {200}


@pytest.mark.parametrize(("name", "collection"), FIVE.items())
def test_every_record_arrives_once(large: tuple[Server, Output], name: str, collection: str) -> None:
    server, output = large
    held, records = server.site.records(collection), output.records[name]
    assert len(records) == len(held)
    assert len({key_of(name, record) for record in records}) == len(held)
    if name != "audit":
        assert {record["id"] for record in records} == {record["id"] for record in held}
    validator = Draft7Validator(STREAMS[name].schema)
    assert not [error.message for record in records[::50] for error in validator.iter_errors(record)]


def test_a_read_sends_one_request_per_page(large: tuple[Server, Output]) -> None:
    server, _ = large
    spaces = [space["id"] for space in server.site.records("spaces")]
    groups = [spaces[n : n + 5] for n in range(0, len(spaces), 5)]
    in_space = Counter(page["spaceId"] for page in server.site.records("pages"))
    windows = {(r.values("startDate")[0], r.values("endDate")[0]) for r in server.requests_to(f"{V1}/audit")}
    times = [event["creationDate"] for event in server.site.records("audit")]
    events = [sum(int(start) <= at <= int(end) for at in times) for start, end in windows]
    expected = {
        f"{V2}/pages": sum(ceil(sum(in_space[space] for space in group) / 250) for group in groups),
        f"{V2}/blogposts": 8,
        f"{V1}/group": 6,  # 1,000 groups, of which each page repeats the last one of the page before
        f"{V1}/audit": sum(max(1, ceil(count / 1_000)) for count in events),
    }
    requested = Counter(request.operation for request in server.log)
    assert {path: requested[path] for path in expected} == expected
    assert len(windows) <= 24  # one per year, since 2004
    # Current and archived spaces for the stream and for the parents of pages, one that represents the site, and the
    # question before the read.
    assert requested[f"{V2}/spaces"] <= 7


def test_more_parents_than_may_be_pending_are_read_with_two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    # The CDK allows 10,000 pending partitions, and has hung with more of them and few workers.
    assert ThreadPoolManager.__init__.__defaults__ == (10_000,)
    monkeypatch.setattr(ThreadPoolManager.__init__, "__defaults__", (PENDING,))
    monkeypatch.setattr(source, "QUEUED_MESSAGES", PENDING // 10)
    site = generate(pages=PARENTS, spaces=5, body_bytes=0)
    version = {"number": 1, "message": "", "minorEdit": False, "createdAt": "2024-05-01T08:00:00.000Z"}
    for page in site.records("pages"):
        kept = {"id": f"9{page['id']}", "key": "editor", "value": "v2", "version": version}
        site.collections.setdefault("page_properties", []).append({**kept, "_pageId": page["id"]})
    with Server(site) as server:
        output = connector("read", config_for(server, num_workers=2), select=["page_properties"])
    assert output.exit_code == 0
    assert output.statuses["page_properties"] == "COMPLETE"
    read = Counter(record["pageId"] for record in output.records["page_properties"])
    assert read == Counter(page["id"] for page in site.records("pages"))
    assert len(server.requests_to(f"{V2}/pages/{{page-id}}/properties")) == PARENTS
