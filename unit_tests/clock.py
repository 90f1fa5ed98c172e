"""A fake clock: waits take no real time."""

from __future__ import annotations

import datetime as dt
import sys
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest.mock import patch

import backoff._sync
from airbyte_cdk.sources.declarative.retrievers.page_size_reducer import PageSizeReducer
from airbyte_cdk.sources.streams.http import rate_limiting

from source_confluence.components import api_budget, partition_router

if TYPE_CHECKING:
    from typing_extensions import Self


class Clock:
    """A fake clock, separate in each thread: waits take no real time.

    Attributes:
        waited: Waited seconds, by the URL of the failed request or by the page size reducer.
    """

    def __init__(self) -> None:
        self.waited: defaultdict[object, float] = defaultdict(float)
        self._mine = threading.local()

    def sleep(self, seconds: float) -> None:
        """Advance the clock before the request that has just failed is retried."""
        request = getattr(sys.exc_info()[1], "request", None)
        self.wait(request.url if request else None, seconds)

    def wait(self, reason: object, seconds: float) -> None:
        """Advance the clock, and add the seconds to those of the reason."""
        self.let_pass(seconds)
        self.waited[reason] += seconds

    def let_pass(self, seconds: float) -> None:
        """Advance the clock without a reason: the wait is for the rate limit."""
        self._mine.slept = self.slept + seconds

    @property
    def slept(self) -> float:
        """The seconds that have passed in this thread."""
        return float(getattr(self._mine, "slept", 0.0))

    def now(self) -> dt.datetime:
        """Return the current time of this thread."""
        return dt.datetime.now().astimezone() + dt.timedelta(seconds=self.slept)

    def monotonic(self) -> float:
        """Return the time of this thread as a number of seconds."""
        return time.monotonic() + self.slept

    def __enter__(self) -> Self:
        """Replace the clock that the CDK uses for waits."""
        sleeping = SimpleNamespace(sleep=self.sleep)
        self._patches = ExitStack()
        for module in (rate_limiting, backoff._sync):  # noqa: SLF001 - it has no public name
            self._patches.enter_context(patch.object(module, "time", sleeping))
        reducing = lambda reducer, seconds: self.wait(reducer, seconds)  # noqa: E731, PLW0108 - becomes a method
        self._patches.enter_context(patch.object(PageSizeReducer, "_sleep", reducing))
        pacing = SimpleNamespace(monotonic=self.monotonic, sleep=self.let_pass)
        for module in (api_budget, partition_router):
            self._patches.enter_context(patch.object(module, "time", pacing))
        ours = SimpleNamespace(datetime=SimpleNamespace(now=self.now))
        self._patches.enter_context(patch.object(backoff._sync, "datetime", ours))  # noqa: SLF001 - as above
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the CDK's clock."""
        self._patches.close()
