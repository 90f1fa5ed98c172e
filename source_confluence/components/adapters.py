"""Responses with a deadline, and files that are written to disk as they arrive."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from airbyte_cdk.sources.streams.http.tcp_keepalive import TcpKeepaliveHTTPAdapter
from airbyte_cdk.sources.utils.files_directory import get_files_directory
from requests import PreparedRequest, ReadTimeout, RequestException, Response

from source_confluence.messages import error

RESPONSE_SECONDS = 300
FILE_SECONDS = 1800  # the platform ends a connector that is silent for an hour
PIECE = 1 << 18


class DeadlineAdapter(TcpKeepaliveHTTPAdapter):
    """Limit the time for a whole response body, and follow no redirect to another host.

    A read timeout limits only the silence between two bytes: at a byte a second a page takes days. A site that was
    renamed redirects to its new name, where requests drops the credential.

    Tests: `test_faults.py`, "a byte at a time, in the body";
    `test_oddities.py::test_the_error_for_a_renamed_site_names_its_new_host`. Delete it when the CDK limits a whole
    response.
    """

    def send(self, request: PreparedRequest, **how: Any) -> Response:  # type: ignore[override]  # passes on all arguments
        response = super().send(request, **how)
        here, there = (
            urlsplit(url).netloc.rpartition("@")[2]
            for url in (str(request.url), response.headers.get("Location", ""))
        )
        if response.is_redirect and there not in ("", here):
            raise error("redirected", here=here, there=there)
        with deadline(response, RESPONSE_SECONDS):
            # `content` reads 10 KB at a time, and each can switch threads: `python -m benchmarks proposals`.
            response._content = b"".join(response.iter_content(PIECE))  # noqa: SLF001 - requests offers no other way
        return response


class CutFileError(RequestException):
    """A file did not arrive to its end, although the connection works."""


class FileAdapter(TcpKeepaliveHTTPAdapter):
    """Write a file to disk as it arrives, so that the CDK retries a request whose body is incomplete.

    Redirects are followed: Confluence sends to a signed address on the host of files, where requests drops the
    credential. The signature stays out of the log.

    Tests: `test_files.py`. Delete it with `StreamingFileUploader`.
    """

    def send(self, request: PreparedRequest, **how: Any) -> Response:  # type: ignore[override]  # passes on all arguments
        try:
            response = super().send(request, **how)
            if response.ok and not response.is_redirect:
                response.part = self._write(response)  # type: ignore[attr-defined]
        except RequestException as failure:
            raise type(failure)(re.sub(r"\?\S+", "?…", str(failure))) from None
        return response

    @staticmethod
    def _write(response: Response) -> Path:
        directory = Path(get_files_directory())
        directory.mkdir(parents=True, exist_ok=True)
        part = directory / f".{uuid4()}"
        try:
            with deadline(response, FILE_SECONDS), part.open("xb") as file:
                for piece in response.iter_content(PIECE):
                    file.write(piece)
        except BaseException as failure:
            part.unlink(missing_ok=True)
            if isinstance(failure, RequestException):
                raise CutFileError(f"Connection broken: {failure}") from failure
            raise
        return part


_OPEN: dict[object, tuple[float, Callable[[], None]]] = {}  # by response: its deadline, and what ends it


@contextmanager
def deadline(response: Response, seconds: float) -> Iterator[None]:
    """Close the connection of a response whose body does not end in time.

    One thread does it for all: a timer for each response takes more than a tenth of the CPU of a request.

    Raises:
        ReadTimeout: The body ended all the same. Over TLS, what was left arrives without being decrypted.
    """
    _start_to_close()
    key = object()
    _OPEN[key] = (time.monotonic() + seconds, response.raw.shutdown)
    try:
        yield
    finally:
        is_in_time = _OPEN.pop(key, None)
    if not is_in_time:
        raise ReadTimeout(f"Connection broken: no end after {seconds} seconds")


@cache  # once
def _start_to_close() -> None:
    Thread(target=_close_late, daemon=True).start()


def _close_late() -> None:
    while True:
        time.sleep(1)
        for key, (due, close) in list(_OPEN.items()):
            if due < time.monotonic() and _OPEN.pop(key, False):
                with suppress(OSError, RuntimeError, ValueError):  # it has just ended
                    close()
