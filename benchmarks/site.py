"""The embedded site in its own process, so that its work does not count as a reader's."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from fake_confluence import Server, generate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from typing_extensions import Self

TOO_MANY = 429


class Traffic(NamedTuple):
    """The site's counts during a read: requests, refused requests, seconds from first to last, its CPU time."""

    requests: int
    refused: int
    asking: float
    site_cpu: float


class SiteProcess:
    """A generated site in its own process; it counts the requests between `begin` and `end`."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        """Generate the site, with the arguments of `generate`, and serve it."""
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, dict(sizes)), daemon=True)
        self._process.start()
        there.close()  # so that the end of the site is noticed here
        self.url, self.email, self.token = self._pipe.recv()

    def begin(self, latency: float, rate: int) -> None:
        """Start to count; respond after this latency in seconds, to this many requests per second (0: all)."""
        self._pipe.send((latency, rate))
        self._pipe.recv()

    def end(self) -> Traffic:
        """Return the counts since `begin`."""
        self._pipe.send(None)
        traffic: Traffic = self._pipe.recv()
        return traffic

    def __enter__(self) -> Self:
        """Return the running site."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the process."""
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection, sizes: dict[str, Any]) -> None:
    """Serve a site, and count the requests between two messages of the pipe."""
    with Server(generate(**sizes)) as server:
        times: list[float] = []
        server.before("", lambda _: times.append(time.monotonic()))
        pipe.send((server.url, server.email, server.token))
        while True:
            server.latency, server.rate = pipe.recv()
            server.log.clear()
            times.clear()
            cpu = time.process_time()
            pipe.send(None)
            pipe.recv()
            refused = sum(request.status == TOO_MANY for request in server.log)
            seconds = times[-1] - times[0] if times else 0.0
            pipe.send(Traffic(len(times), refused, seconds, time.process_time() - cpu))
