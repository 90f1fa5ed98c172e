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
BACK = 0.9
DOUBLING_SECONDS = 30.0


class AdaptiveAPIBudget(AbstractAPIBudget):
    """One request rate for all streams: no limit until the site returns 429, then a little below its limit.

    A 429 delays all requests for as long as it asks (the CDK makes its own request wait), at most ten seconds:
    a longer wait may concern one list alone. From the second 429 in ten seconds on, requests leave at even
    intervals: at nine tenths of the rate that the site accepted, growing with the square of the time until
    the next 429. So the read approaches the limit, and speeds up when there is none.

    An `api_budget` in the manifest needs the limit, which Confluence does not publish. Test: `test_rate_limit.py`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._base = 0.0  # requests a second after the last 429; 0 while there is no limit
        self._refused = self._next = float("-inf")  # time of the last 429, and of the next request
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
            if self._base:
                self._next = now + 1 / self._rate(now)
            request.left = now
            return 0.0

    def _rate(self, now: float) -> float:
        return self._base * (1 + ((now - self._refused) / DOUBLING_SECONDS) ** 2)

    def _slow_down(self, now: float) -> None:
        accepted = len(self._accepted)
        if accepted and self._base:
            rate = self._rate(now)
            self._base = max(1.0, BACK * max(min(rate, accepted), rate / 2))
        elif accepted and now - self._refused < LONGEST_PAUSE:
            self._base = max(1.0, BACK * accepted)
        self._refused = now
