"""The request rate approaches the site's limit; a site without a limit is read without delay."""

from __future__ import annotations

import heapq
import random
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from common.connector import config_for, connector
from fake_confluence import Server, generate
from source_confluence.components import api_budget


class Clock:
    """A clock that advances only by waits and requests."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Limited:
    """A site that allows this many requests per second; a request takes one millisecond."""

    def __init__(self, clock: Clock, allowed: int) -> None:
        self.clock, self.allowed, self.retry_after = clock, allowed, "1"
        self.pace = api_budget.AdaptiveAPIBudget()
        self.recent: deque[float] = deque()

    def read(self, seconds: float) -> tuple[float, int]:
        """Send requests for this many seconds; return the accepted requests per second, and the number refused."""
        accepted = refused = 0
        end = self.clock.now + seconds
        while self.clock.now < end:
            request: Any = SimpleNamespace()
            self.pace.acquire_call(request)
            self.clock.now += 0.001
            while self.recent and self.recent[0] <= self.clock.now - 1:
                self.recent.popleft()
            is_refused = len(self.recent) >= self.allowed
            response: Any = SimpleNamespace(
                status_code=429 if is_refused else 200, headers={"Retry-After": self.retry_after}
            )
            if is_refused:
                refused += 1
            else:
                accepted += 1
                self.recent.append(self.clock.now)
            self.pace.update_from_response(request, response)
        return accepted / seconds, refused


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    ours = Clock()
    monkeypatch.setattr(api_budget, "time", ours)
    return ours


@pytest.mark.parametrize("allowed", [2, 3, 5, 10, 20, 100])
def test_a_read_settles_near_the_limit(clock: Clock, allowed: int) -> None:
    site = Limited(clock, allowed)
    site.read(20)
    accepted, refused = site.read(300)
    assert 0.9 * allowed <= accepted <= allowed
    assert refused < 300 / 5


def test_what_is_accepted_of_a_burst_counts_in_any_order(clock: Clock) -> None:
    pace = api_budget.AdaptiveAPIBudget()

    def send(count: int) -> list[Any]:
        requests: list[Any] = [SimpleNamespace() for _ in range(count)]
        for request in requests:
            pace.acquire_call(request)
        return requests

    for _ in range(2):
        requests = send(10)
        clock.now += 0.05
        for request, status in zip(requests, [200, *[429] * 5, *[200] * 4], strict=True):
            answer: Any = SimpleNamespace(status_code=status, headers={})
            pace.update_from_response(request, answer)
    began = clock.now
    send(11)
    assert (
        clock.now - began < 1 + 10 / 4
    )  # the pause, and ten intervals at four fifths of five requests a second


def test_responses_that_arrive_together_do_not_raise_the_rate(clock: Clock) -> None:
    site = Limited(clock, 10)
    site.read(20)
    requests: list[Any] = [SimpleNamespace() for _ in range(30)]
    for request in requests:  # in three seconds
        site.pace.acquire_call(request)
    for request, status in zip(requests, [429, *[200] * 29], strict=True):
        answer: Any = SimpleNamespace(status_code=status, headers={"Retry-After": "0"})
        site.pace.update_from_response(request, answer)
    began = clock.now
    for request in requests:
        site.pace.acquire_call(request)
    assert clock.now - began > 29 / 10


def test_the_rate_follows_a_limit_that_falls_and_rises(clock: Clock) -> None:
    site = Limited(clock, 50)
    site.read(60)
    site.allowed = 5
    site.read(20)
    assert 4 <= site.read(60)[0] <= 5
    site.allowed = 50
    site.read(120)
    assert 40 <= site.read(60)[0] <= 50


def test_a_single_refusal_has_no_lasting_effect(clock: Clock) -> None:
    site = Limited(clock, 10**9)
    site.read(1)
    site.allowed = 0
    assert site.read(0.001)[1] == 1
    site.allowed = 10**9
    began = clock.now
    accepted, refused = site.read(1.5)
    assert refused == 0
    assert accepted > 300  # in the remaining half second
    assert clock.now - began < 1.6


def test_other_requests_wait_at_most_ten_seconds_for_a_long_retry_after(clock: Clock) -> None:
    site = Limited(clock, 0)
    site.retry_after = "3000"
    site.read(0.001)
    began = clock.now
    site.allowed = 10
    site.read(0.001)
    assert clock.now - began <= 10.1


def test_refusals_without_an_accepted_request_do_not_limit_the_rate(clock: Clock) -> None:
    site = Limited(clock, 0)
    site.read(60)
    site.allowed = 10**9
    assert site.read(10)[0] > 500


def test_all_workers_together_respect_the_limit_of_a_site() -> None:
    with Server(generate(pages=1_500, spaces=50, body_bytes=0), rate=10) as server:
        output = connector(
            "read", config_for(server, page_size=25, num_workers=25), select=["pages", "space"]
        )
    assert (output.exit_code, output.errors) == (0, [])
    assert len(output.records["pages"]) == 1_500
    refused = sum(request.status == 429 for request in server.log)
    assert refused < len(server.log) / 3


def shares(
    clock: Clock, parts: int, allowed: int, *, seconds: int = 600, apart: int = 4, settled: int = 40
) -> list[float]:
    """Return the accepted requests per second of each of several reads that share a limit, once they have settled.

    Each has ten workers and begins some seconds after the one before. A response takes 50 to 150 milliseconds.
    """
    rng = random.Random(allowed + parts)
    paces = [api_budget.AdaptiveAPIBudget() for _ in range(parts)]
    began, accepted, recent = clock.now, [0] * parts, deque[float]()
    events: list[Any] = [
        (began + n % parts * apart + rng.random(), n, n % parts, None) for n in range(parts * 10)
    ]
    heapq.heapify(events)
    while events:
        clock.now, worker, part, sent = heapq.heappop(events)
        if clock.now > began + seconds:
            break
        if sent is None:
            request = SimpleNamespace()
            if wait := paces[part]._seconds_left(request):  # noqa: SLF001 - the wait without the sleep
                heapq.heappush(events, (clock.now + wait + worker / 10**6, worker, part, None))
                continue
            while recent and recent[0] <= clock.now - 1:
                recent.popleft()
            status = 200 if len(recent) < allowed else 429
            if status == 200:
                recent.append(clock.now)
                accepted[part] += clock.now > began + settled
            heapq.heappush(events, (clock.now + rng.uniform(0.05, 0.15), worker, part, (request, status)))
        else:
            request, status = sent
            response: Any = SimpleNamespace(status_code=status, headers={"Retry-After": "1"})
            paces[part].update_from_response(request, response)
            heapq.heappush(events, (clock.now + (status == 429), worker, part, None))
    return [count / (seconds - settled) for count in accepted]


@pytest.mark.parametrize("allowed", [10, 20, 50, 100])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_share_the_limit_of_a_site(clock: Clock, parts: int, allowed: int) -> None:
    found = shares(clock, parts, allowed)
    assert sum(found) >= 0.9 * allowed
    assert min(found) >= 0.5 * sum(found) / parts


@pytest.mark.parametrize("allowed", [20, 100])
def test_a_part_that_begins_late_gets_its_share(clock: Clock, allowed: int) -> None:
    found = shares(clock, 4, allowed, seconds=1_000, apart=60, settled=400)
    assert sum(found) >= 0.9 * allowed
    assert min(found) >= 0.5 * sum(found) / 4
