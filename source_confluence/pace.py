"""As many requests a second as the site bears."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from airbyte_cdk.sources.streams.call_rate import AbstractAPIBudget

from source_confluence.patience import seconds_told

if TYPE_CHECKING:
    import requests

TOO_MANY = 429
LONGEST_PAUSE = 10.0
BACK = 0.9
DOUBLING_SECONDS = 30.0


class Pace(AbstractAPIBudget):
    """One pace for all streams: none until the site refuses requests, then a little below what it answered.

    A refusal holds everybody back for as long as it says (its own request waits in the CDK), at most ten
    seconds: longer ones may concern one list alone. From the second in short order on, requests leave at even
    intervals: nine tenths of the rate at which they were answered, growing with the square of the time
    until the next refusal, so that the read comes close to the limit, and up again when there is none.

    An `api_budget` in the manifest would have to know the limit, which Confluence does not tell.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._base = 0.0  # requests a second at the last refusal; 0 while there is no limit
        self._refused = self._next = float("-inf")  # when one was, and when the next may leave
        self._answered: deque[float] = deque()

    def acquire_call(self, request: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002, FBT001, FBT002 - as inherited
        """Wait until a request may leave."""
        while (seconds := self._seconds_left(request)) > 0:
            time.sleep(seconds)

    def update_from_response(self, request: Any, response: requests.Response) -> None:
        """Learn from an answer."""
        now = time.monotonic()
        with self._lock:
            while self._answered and self._answered[0] < now - 1:
                self._answered.popleft()
            if response.status_code != TOO_MANY:
                self._answered.append(now)
            elif request.left > self._refused:  # else it left together with one that was refused
                self._slow_down(now)
                told = seconds_told(response, "Retry-After", None)
                self._next = max(self._next, now + min(1.0 if told is None else told, LONGEST_PAUSE))

    def get_matching_policy(self, request: Any) -> None:
        """Return no policy: the limit is not known beforehand."""

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
        answered = len(self._answered)
        if answered and self._base:
            rate = self._rate(now)
            self._base = max(1.0, BACK * max(min(rate, answered), rate / 2))
        elif answered and now - self._refused < LONGEST_PAUSE:
            self._base = max(1.0, BACK * answered)
        self._refused = now
