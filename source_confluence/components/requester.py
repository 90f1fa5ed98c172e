"""Requests with a deadline, a second request before a parent is skipped, and files streamed to disk."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.streams.http.exceptions import BaseBackoffException
from airbyte_cdk.sources.streams.http.tcp_keepalive import TcpKeepaliveHTTPAdapter
from airbyte_cdk.sources.utils.files_directory import get_files_directory
from airbyte_cdk.utils import AirbyteTracedException
from requests import PreparedRequest, RequestException, Response

RESPONSE_SECONDS = 300
FILE_SECONDS = 1800  # the platform ends a connector that is silent for an hour
PIECE = 1 << 18
GIVE_UP_AFTER = 20
NOT_FOUND = "Confluence returned 404"  # as the manifest says it
NOTHING_SET = "none is set"  # as the manifest says it: the parent is not missing


class CarefulRequester(HttpRequester):
    """Skip a parent only if it was deleted, and stop a stream whose requests fail one after another.

    Sometimes Confluence returns 404 for a space that exists, so a request is sent again before its parent is skipped.
    Confluence also returns a 404 that names nothing for an invalid credential. It means a missing parent only if other
    requests of the stream, and the list of spaces, succeed.
    Each partition retries its own requests: without a limit, a stream with a request for each of 100,000 pages
    waits two minutes for every page while Confluence is down.

    Tests: `test_oddities.py`, 14 and 15; `test_faults.py`, "a site that is down". Delete it when the CDK
    stops a stream that has failed.
    """

    skipped: Counter[str]  # by stream; the factory sets it

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._failed = 0
        self._responds = False
        for scheme in ("https://", "http://"):
            self._http_client._session.mount(scheme, DeadlineAdapter(pool_maxsize=25))  # noqa: SLF001 - the CDK offers no other way

    def send_request(self, **request: Any) -> Response | None:  # type: ignore[override]  # passes on all arguments
        """Send a request, with the retries that the error handler asks for; return None for a missing parent."""
        if self._failed >= GIVE_UP_AFTER:
            raise AirbyteTracedException(
                message=f"{GIVE_UP_AFTER} requests in a row failed after all retries, so the rest of the stream "
                "was not read. Try again later.",
                failure_type=FailureType.transient_error,
            )
        try:
            response = super().send_request(**request)
            if self._lacks_parent(response):
                response = super().send_request(**request)
        except AirbyteTracedException as error:
            self._failed += isinstance(error.__context__, BaseBackoffException)
            if not (NOT_FOUND in str(error.message) and self._responds and self._is_first_page(**request)):
                raise
            if not self._credential_works():
                raise
            response = None
        self._failed = 0
        if response is None or self._lacks_parent(response):
            self.skipped[self.name] += 1
        else:
            self._responds = True
        return response

    def _lacks_parent(self, response: Response | None) -> bool:
        """Tell whether a filter ignored a response because the parent was deleted."""
        if response is None or response.status_code != 404:  # noqa: PLR2004 - ignored by a filter
            return False
        return NOTHING_SET not in str(self.error_handler.interpret_response(response).error_message)  # type: ignore[union-attr]

    @staticmethod
    def _is_first_page(stream_slice: Any = None, next_page_token: Any = None, **_: Any) -> bool:
        """Tell whether a request is the first of a list below one parent; a group of parents has a list of slices."""
        return isinstance((stream_slice or {}).get("parent_slice"), Mapping) and not next_page_token

    def _credential_works(self) -> bool:
        try:
            self._http_client.send_request("GET", f"{self.config['_v2']}/spaces?limit=1", {})
        except AirbyteTracedException:
            return False
        return True


class DeadlineAdapter(TcpKeepaliveHTTPAdapter):
    """Limit the time for a whole response body, and follow no redirect to another host.

    A read timeout limits only the silence between two bytes: at a byte a second a page takes days. A site that was
    renamed redirects to its new name, where requests drops the credential.

    Tests: `test_faults.py`, "a byte at a time, in the body"; `test_oddities.py`, 21. Delete it when the CDK
    limits a whole response.
    """

    def send(self, request: PreparedRequest, **how: Any) -> Response:  # type: ignore[override]  # passes on all arguments
        response = super().send(request, **how)
        here, there = (
            urlsplit(url).netloc for url in (str(request.url), response.headers.get("Location", ""))
        )
        if response.is_redirect and there not in ("", here):
            raise AirbyteTracedException(
                message=f"{here} redirects to {there}. If that is the new name of your site, write it as domain_name; "
                "if it is a login page, let the connector reach Confluence without it.",
                failure_type=FailureType.config_error,
            )
        with deadline(response, RESPONSE_SECONDS):
            # `content` reads 10 KB at a time, and each can switch threads: `python -m benchmarks proposals`.
            response._content = b"".join(response.iter_content(PIECE))  # noqa: SLF001 - requests offers no other way
        return response


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
        except RequestException as error:
            raise type(error)(re.sub(r"\?\S+", "?…", str(error))) from None
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
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return part


@contextmanager
def deadline(response: Response, seconds: float) -> Iterator[None]:
    """Close the connection of a response whose body does not end in time."""
    timer = Timer(seconds, response.raw.shutdown)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
