"""The embedded site in its own process, so that its work does not count as a reader's."""

from __future__ import annotations

import time
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from typing import TYPE_CHECKING, Any, NamedTuple

from fake_confluence import Server, generate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fake_confluence import Request

TOO_MANY = 429


class Traffic(NamedTuple):
    """The site's counts during a read: requests, refused requests, seconds from first to last, its CPU time.

    `settled` is the number of accepted requests a second from a fifth to three fifths of these seconds.
    """

    requests: int
    refused: int
    asking: float
    site_cpu: float
    settled: float


class Site:
    """A generated site; it counts the requests between `begin` and `end`."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        """Generate the site, with the arguments of `generate`, and serve it."""
        self._server = Server(generate(**sizes)).__enter__()  # the end of the process ends it
        self._times: list[tuple[float, Request]] = []
        self._server.before("", lambda request: self._times.append((time.monotonic(), request)))

    def access(self) -> dict[str, str]:
        """Return the connector's configuration for this site."""
        server = self._server
        return {"domain_name": server.url, "email": server.email, "api_token": server.token}

    def begin(self, latency: float, rate: int) -> None:
        """Start to count; respond after this latency in seconds, to this many requests per second (0: all)."""
        self._server.latency, self._server.rate = latency, rate
        self._server.log.clear()
        self._times.clear()
        self._cpu = time.process_time()

    def end(self) -> Traffic:
        """Return the counts since `begin`."""
        refused = sum(request.status == TOO_MANY for _, request in self._times)
        began, ended = (self._times[at][0] for at in (0, -1)) if self._times else (0.0, 0.0)
        seconds = ended - began
        accepted = [at - began for at, request in self._times if request.status != TOO_MANY]
        settled = sum(seconds / 5 <= at < seconds * 3 / 5 for at in accepted) / (seconds * 2 / 5 or 1)
        return Traffic(len(self._times), refused, seconds, time.process_time() - self._cpu, settled)


class _Sites(BaseManager):
    """The process of a site."""

    site: Callable[[Mapping[str, Any]], Site]  # registered below


_Sites.register("site", Site)


@contextmanager
def served(sizes: Mapping[str, Any]) -> Iterator[Site]:
    """Serve a site from another process; each method of the site is called there."""
    with _Sites(ctx=get_context("spawn")) as sites:
        yield sites.site(sizes)
