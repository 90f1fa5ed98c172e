"""The embedded site in a process of its own, so that its work is not counted as a reader's."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from fake_confluence import Server, generate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from typing_extensions import Self

    from fake_confluence import Request

CONTENT_SEARCH = r"/wiki/rest/api/content/search\?"
MOST_WITH_BODIES = 50


@dataclass(frozen=True)
class Traffic:
    """What the site saw while a reader ran.

    Attributes:
        requests: How many came.
        refused: To how many of them it answered 429.
        seconds: From the first to the last one.
        cpu: What answering them took, in seconds.
    """

    requests: int
    refused: int
    seconds: float
    cpu: float


class SiteProcess:
    """A generated site that runs for itself; `begin` and `end` enclose what is counted."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        """Make the site and serve it.

        Args:
            sizes: What `generate` takes.
        """
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, dict(sizes)), daemon=True)
        self._process.start()
        there.close()  # so that the site's end shows here
        self.url, self.email, self.token = self._pipe.recv()

    def begin(self, latency: float, rate: int) -> None:
        """Answer from now on after so many seconds, and at most so many requests a second (0: all)."""
        self._pipe.send((latency, rate))
        self._pipe.recv()

    def end(self) -> Traffic:
        """Tell what came in since `begin`."""
        self._pipe.send(None)
        traffic: Traffic = self._pipe.recv()
        return traffic

    def __enter__(self) -> Self:
        """Return the running site."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection, sizes: dict[str, Any]) -> None:
    """Serve a site, and count as the other end of the pipe says."""
    with Server(generate(**sizes)) as server:
        times: list[float] = []
        server.before("", lambda _: times.append(time.monotonic()))
        _add_content_search(server)
        pipe.send((server.url, server.email, server.token))
        cpu = 0.0
        while True:
            order = pipe.recv()
            if order is None:
                refused = sum(request.status == 429 for request in server.log)  # noqa: PLR2004 - the status
                seconds = times[-1] - times[0] if times else 0.0
                pipe.send(Traffic(len(times), refused, seconds, time.process_time() - cpu))
            else:
                server.latency, server.rate = order
                server.log.clear()
                times.clear()
                cpu = time.process_time()
                pipe.send(None)


def _add_content_search(server: Server) -> None:
    """Answer v1's search for content, which LlamaIndex's reader asks: with bodies it gives 50 at most."""
    asked: list[Request] = []

    def answer(_: bytes) -> bytes:
        request = asked.pop()
        begin = int("".join(request.values("cursor")) or 0)
        size = min(int("".join(request.values("limit")) or 25), MOST_WITH_BODIES)
        pages = server.site.records("pages")
        links = {"base": f"{server.url}/wiki"}
        if begin + size < len(pages):
            links["next"] = f"/rest/api/content/search?cql=type%3Dpage&limit={size}&cursor={begin + size}"
        results = [
            {
                **{name: page[name] for name in ("id", "status", "title")},
                "type": "page",
                "body": {"export_view": {"value": page["_body"]["storage"]}},
                "_links": {"webui": f"/spaces/{page['spaceId']}/pages/{page['id']}"},
            }
            for page in pages[begin : begin + size]
        ]
        return orjson.dumps({"results": results, "limit": size, "size": len(results), "_links": links})

    server.before(CONTENT_SEARCH, asked.append)
    server.fail(CONTENT_SEARCH, times=None, status=200, body=answer)
