"""Adapt the request rate to the site's limit."""

import threading
import time
from collections import deque
from typing import Any

import requests
from airbyte_cdk.sources.streams.call_rate import AbstractAPIBudget

from source_confluence.components.backoff_strategy import retry_after

TOO_MANY = 429
LONGEST_PAUSE = 10.0
SAFE, BACK = 0.95, 0.9
GROWTH = 1e-4  # requests a second, for each second to the third power


class AdaptiveAPIBudget(AbstractAPIBudget):
    """One request rate for all streams: no limit until the site returns 429, then a little below its limit.

    A 429 delays all requests for as long as it asks (the CDK makes its own request wait), at most ten seconds:
    a longer wait may concern one list alone. From the second 429 in ten seconds on, requests leave at even
    intervals. The rate follows TCP CUBIC (RFC 9438): it falls to 86 % of that at the 429, soon comes near 95 %, stays
    there for about half a minute, then grows faster and faster until the next 429. Reads of several machines share a
    limit, because the slowest grows most.

    An `api_budget` in the manifest needs the limit, which Confluence does not publish. Test: `test_rate_limit.py`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limit = 0.0  # requests a second that were safe at the last 429; 0 while there is no limit
        self._refused = self._next = float("-inf")  # time of the last 429, and of the next request
        self._limited = float("-inf")  # since when there is a limit
        self._accepted: deque[float] = deque()

    def acquire_call(self, request: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002, FBT001, FBT002 - as inherited
        while (seconds := self._seconds_left(request)) > 0:
            time.sleep(seconds)

    def update_from_response(self, request: Any, response: requests.Response) -> None:
        now = time.monotonic()
        with self._lock:
            while self._accepted and self._accepted[0] < now - 1:
                self._accepted.popleft()
            if response.status_code != TOO_MANY:
                self._accepted.append(now)
                if request.left <= self._limited:  # of the burst that the limit was taken from
                    self._limit = max(self._limit, SAFE * len(self._accepted))
            elif request.left > self._refused:  # else it left before the last 429
                self._slow_down(now)
                wait = retry_after(response)
                self._next = max(self._next, now + min(1.0 if wait is None else wait, LONGEST_PAUSE))

    def get_matching_policy(self, request: Any) -> None:
        """Return no policy: the limit is not known in advance."""

    def _seconds_left(self, request: Any) -> float:
        now = time.monotonic()
        with self._lock:
            if now < self._next:
                return self._next - now
            if self._limit:
                self._next = now + 1 / self._rate(now)
            request.left = now
            return 0.0

    def _rate(self, now: float) -> float:
        until_near: float = ((1 - BACK) * self._limit / GROWTH) ** (1 / 3)
        return self._limit + GROWTH * (now - self._refused - until_near) ** 3

    def _slow_down(self, now: float) -> None:
        accepted = len(self._accepted)
        if accepted and self._limit:
            rate = self._rate(now)
            self._limit = max(1.0, SAFE * (rate if accepted + 1 > rate / 2 else rate / 2))
        elif accepted and now - self._refused < LONGEST_PAUSE:
            self._limit, self._limited = max(1.0, SAFE * accepted), now
        self._refused = now
