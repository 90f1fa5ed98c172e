"""What a long read costs: as many requests as documented, and its log says how far it is."""

from __future__ import annotations

import re

import pytest

from common.connector import STREAMS, config_for, connector
from fake_confluence import Server, generate
from tools.derive import requests_for
from unit_tests.clock import Clock

BEFORE_A_READ = ("", "/wiki/rest/api/user/current", "/wiki/api/v2/spaces")
LIKES = "/wiki/api/v2/pages/{id}/likes/users"


@pytest.mark.parametrize("name", ["page_likes", "page_versions", "attachment_files"])
def test_a_read_costs_the_documented_requests(name: str) -> None:
    count = 300
    with Server(generate(pages=count, spaces=1, versions_per_page=1, files=[10] * count)) as server:
        assert connector("read", config_for(server), select=[name]).exit_code == 0
        requests = [each for each in server.log if each.operation not in BEFORE_A_READ]
    assert len(requests) == requests_for(STREAMS[name], count)


@pytest.mark.parametrize(("wait", "lines"), [(61, 1), (50, 0)])
def test_a_long_read_says_once_a_minute_how_many_parents_it_has_read(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, wait: int, lines: int
) -> None:
    caplog.set_level("INFO", "airbyte")
    monkeypatch.setattr(Clock, "monotonic", lambda clock: clock.slept)  # however long the read takes
    with Clock(), Server(generate(pages=300, spaces=1)) as server:
        server.fail(LIKES, after=100, status=429, headers={"Retry-After": str(wait)})
        assert connector("read", config_for(server), select=["page_likes"]).exit_code == 0
    form = r"page_likes has been read for (\d+) of (at least )?(\d+) records of page_index\."
    told = [found for record in caplog.records if (found := re.fullmatch(form, record.getMessage()))]
    assert len(told) == lines
    for found in told:
        assert 0 < int(found[1]) <= int(found[3]) <= 300
