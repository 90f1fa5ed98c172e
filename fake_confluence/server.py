"""Serve a site over HTTP on the loopback interface, and inject network faults."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl

from fake_confluence.access import TENANT_INFO, TOKEN_ENDPOINT, Access, OAuthApp
from fake_confluence.contract import Contract, load_contract
from fake_confluence.media import Media
from fake_confluence.responses import Response, api_of, refuse, respond
from fake_confluence.site import public_part

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Self

    from fake_confluence.site import Site

Bytes = bytes | Callable[[bytes], bytes] | None


@dataclass
class Request:
    """A received request.

    Attributes:
        target: The raw path and query.
        path: The path, without the gateway's prefix.
        query: Names and values, decoded, in their order.
        operation: The path template in contract.yaml; empty if the path names none.
        headers: Values by lower-case name.
        status: The status of the response; 0 before the response, or if the connection was broken instead.
        cloud_id: The cloud id in the gateway's path; empty at the site itself.
    """

    method: str
    target: str
    path: str
    query: list[tuple[str, str]]
    operation: str
    headers: dict[str, str]
    body: bytes = b""
    status: int = 0
    cloud_id: str = ""

    def values(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return [value for key, value in self.query if key == name]


@dataclass
class Fault:
    """An injected fault; see `Server.fail`."""

    match: str
    times: int | None
    after: int
    status: int | None
    headers: dict[str, str]
    body: Bytes
    how: str
    seconds: float
    seen: int = 0

    def affects(self) -> bool:
        """Count a matching request, and return whether the fault affects it."""
        self.seen += 1
        return self.seen > self.after and (self.times is None or self.seen <= self.after + self.times)


@dataclass
class _Denial:
    match: str
    status: int
    message: str


@dataclass
class _Hook:
    match: str
    callback: Callable[[Request], object]


class Server:
    """A Confluence site on 127.0.0.1, in its own thread.

    Requests are processed one after the other, so that a hook's changes are complete before the
    next response. Use it as a context manager, or call `start` and `close`.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - a call names the few that it needs
        self,
        site: Site,
        port: int = 0,
        latency: float = 0.0,
        email: str = "demo@example.com",
        token: str = "demo-token",  # noqa: S107 - valid only for this server
        max_page: int = 0,
        rate: int = 0,
        public: Iterable[str] = (),
    ) -> None:
        """Prepare a server; `start` makes it listen.

        Args:
            site: The data; see `company` and `generate`.
            email: The account that can sign in.
            token: Its API token.
            port: The port; 0 for any free one.
            latency: The delay of each response, in seconds.
            max_page: The largest number of records per page for any requested limit; 0 for no maximum.
            rate: The requests per second that are accepted; others get 429. 0 for no limit.
            public: Keys of the spaces that anonymous visitors can see. On a site with any, an unknown email and
                token is an anonymous visitor.
        """
        self.site = site
        self.port = port
        self.latency = latency
        info = next(iter(site.records("site_info")), {})
        self.access = Access(email, token, info.get("cloudId", _CLOUD_ID))
        self.max_page = max_page
        self.rate = rate
        self.public = frozenset(public)
        self._recent: deque[float] = deque()
        self.log: list[Request] = []
        self.contract: Contract = load_contract()
        self.media = Media(site)
        self._faults: list[Fault] = []
        self._hooks: list[_Hook] = []
        self._denials: list[_Denial] = []
        self.connections: set[_Connection] = set()
        self._listeners: list[asyncio.Server] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address of the site, without /wiki."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def email(self) -> str:
        """The account that can sign in with the API token."""
        return self.access.email

    @property
    def token(self) -> str:
        """The API token without scopes."""
        return self.access.token

    @token.setter
    def token(self, token: str) -> None:
        self.access.token = token

    @property
    def cloud_id(self) -> str:
        """The cloud id of the site at the gateway."""
        return self.access.cloud_id

    def scoped_token(self, scopes: Iterable[str], email: str = "") -> str:
        """Create an API token with scopes, valid only at the gateway, for `email` or the usual account."""
        return self.access.scoped_token(scopes, email or self.email)

    def oauth_app(
        self,
        scopes: Iterable[str],
        client_id: str = "demo-app",
        client_secret: str = "demo-app-secret",  # noqa: S107 - valid only for this server
        sites: Iterable[str] = (),
    ) -> OAuthApp:
        """Create an OAuth app with a user's consent, for this site or for these cloud ids."""
        granted = frozenset(sites) or frozenset({self.cloud_id})
        app = OAuthApp(client_id, client_secret, frozenset(scopes), granted)
        return self.access.register(app, consented=True)

    def service_account(
        self,
        scopes: Iterable[str],
        client_id: str = "demo-service",
        client_secret: str = "demo-service-secret",  # noqa: S107 - valid only for this server
    ) -> OAuthApp:
        """Create the OAuth credential of a service account."""
        sites = frozenset({self.cloud_id})
        app = OAuthApp(client_id, client_secret, frozenset(scopes), sites)
        return self.access.register(app, consented=False)

    def expire_tokens(self) -> None:
        """Expire all access tokens now; `OAuthApp.uses` expires them during a read."""
        self.access.expire()

    def start(self) -> Server:
        """Start to listen; return when the server accepts requests."""
        loop = self._loop = asyncio.new_event_loop()
        self.port = self._listen(loop, self.port)
        self.media.url = f"http://127.0.0.1:{self._listen(loop, 0)}"
        self._thread = threading.Thread(target=loop.run_forever, name="confluence", daemon=True)
        self._thread.start()
        return self

    def _listen(self, loop: asyncio.AbstractEventLoop, port: int) -> int:
        listener = socket.create_server(("127.0.0.1", port), backlog=256)
        serving = loop.create_server(lambda: _Connection(self), sock=listener)
        self._listeners.append(loop.run_until_complete(serving))
        return int(listener.getsockname()[1])

    def close(self) -> None:
        """Stop listening, and close all connections."""
        if self._loop is None or self._thread is None:
            return
        loop, self._loop = self._loop, None
        loop.call_soon_threadsafe(self._hang_up, loop)
        self._thread.join()
        loop.close()

    def _hang_up(self, loop: asyncio.AbstractEventLoop) -> None:
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.transport.abort()
        loop.stop()

    def __enter__(self) -> Self:
        """Start the server if it is not running."""
        if self._loop is None:
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the server."""
        self.close()

    def requests_to(self, match: str) -> list[Request]:
        """Return the requests to an operation, or those that match a regular expression."""
        return [request for request in list(self.log) if self._matches(match, request)]

    def before(self, match: str, callback: Callable[[Request], object]) -> None:
        """Call back before the response to each matching request, to change the site during a read."""
        self._hooks.append(_Hook(match, callback))

    def deny(self, match: str, status: int = 403, message: str = "") -> None:
        """Refuse an operation as Confluence does if the plan or a permission is missing."""
        message = message or "The current user does not have the permission that this needs"
        self._denials.append(_Denial(match, status, message))

    def allow(self, match: str) -> None:
        """Remove a denial."""
        self._denials = [denial for denial in self._denials if denial.match != match]

    def fail(  # noqa: PLR0913 - a call names the few that it needs
        self,
        match: str,
        *,
        times: int | None = 1,
        after: int = 0,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        body: Bytes = None,
        how: str = "respond",
        seconds: float = 1.0,
    ) -> Fault:
        """Inject a fault into matching requests; the first injected fault that matches is used.

        Args:
            match: A path template of contract.yaml, or a regular expression to search for
                in path and query.
            times: The number of requests that it affects; None for all.
            after: The number of matching requests before it.
            status: The status of the response instead of the genuine one.
            headers: Headers that replace or extend the usual ones.
            body: The body of the response, or a function that makes it from the genuine one.
            how: "respond"; "redirect" (302 to headers["Location"]); "drop" (close without a
                response); "reset" (the same with a TCP reset); "cut" (close in the middle of the body);
                "cut head" (in the headers); "reset body" (a TCP reset in the middle of the body);
                "hang" (no response); "drip" (the body byte by byte, with a pause after each);
                "drip head" (the headers too).
            seconds: The pause of a drip.
        """
        if how not in _HOW:
            raise ValueError(f"how must be one of {', '.join(_HOW)}, not {how!r}")
        if how == "redirect":
            status = status or 302
        fault = Fault(match, times, after, status, headers or {}, body, how, seconds)
        self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Remove all faults, denials and hooks."""
        self._faults.clear()
        self._denials.clear()
        self._hooks.clear()

    def _matches(self, match: str, request: Request) -> bool:
        if match in self.contract.operations:
            return request.operation == match
        return re.search(match, request.target) is not None

    def receive(self, connection: _Connection, request: Request) -> None:
        """Respond to a request, with the latency and the faults."""
        is_media = self.media.url.endswith("//" + request.headers.get("host", ""))
        (self.media.log if is_media else self.log).append(request)
        found, _ = self.contract.find(request.path)
        request.operation = found if isinstance(found, str) else found.path if found else ""
        with self.site.lock:
            for hook in list(self._hooks):
                if self._matches(hook.match, request):
                    hook.callback(request)
            matching = (f for f in self._faults if self._matches(f.match, request) and f.affects())
            fault = next(matching, None)
            response = self.media.respond(request) if is_media else self._respond(request)
        if fault is not None:
            response = _with_fault(response, fault)
        request.status = 0 if fault and fault.how in _BROKEN else response.status
        if self.latency and self._loop is not None:
            self._loop.call_later(self.latency, connection.send, response, fault)
        else:
            connection.send(response, fault)

    def _respond(self, request: Request) -> Response:
        if not request.path.startswith("/wiki"):
            beside = self._beside_the_wiki(request)
            if beside is not None:
                return beside
        if len(request.target) > _LONGEST_URL:
            return Response(
                414, b"<html><body>414 Request-URI Too Large</body></html>", {"Content-Type": "text/html"}
            )
        if self.rate and self._too_many():
            refused = refuse(api_of(request.path), 429, "Rate limit exceeded")
            return replace(refused, headers={"Retry-After": "1"})
        operation = self.contract.operations.get(request.operation)
        authorization = request.headers.get("authorization", "")
        denied = self.access.refusal(authorization, request.path, request.cloud_id, operation)
        site, email = self.site, self.email
        if denied and self.public and self.access.is_unknown(authorization) and not request.cloud_id:
            site, email, denied = public_part(self.site, self.public), "", None
        denied = denied or self._denied(request)
        if denied is not None:
            return denied
        if request.method != (operation.method if operation else "GET"):
            return refuse(api_of(request.path), 405, "Method Not Allowed")
        target = (
            request.target[len(_GATEWAY) + len(request.cloud_id) :] if request.cloud_id else request.target
        )
        return respond(
            site, self.contract, target, self.url, self.max_page, self.media.sign, request.body, email
        )

    def _too_many(self) -> bool:
        """Return whether the last second has reached the rate limit; otherwise count this request."""
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        if len(self._recent) >= self.rate:
            return True
        self._recent.append(now)
        return False

    def _beside_the_wiki(self, request: Request) -> Response | None:
        """Respond to requests that need no credential: the tenant info and the token endpoint."""
        if (request.method, request.path) == ("GET", TENANT_INFO):
            return Response(200, f'{{"cloudId":"{self.cloud_id}"}}'.encode())
        if (request.method, request.path) == ("POST", TOKEN_ENDPOINT):
            return self.access.token_response(request.headers.get("content-type", ""), request.body)
        return None

    def _denied(self, request: Request) -> Response | None:
        for denial in self._denials:
            if self._matches(denial.match, request):
                return refuse(api_of(request.path), denial.status, denial.message)
        return None


# The cloud id of a site without records.
_CLOUD_ID = "00000000-0000-4000-8000-000000000000"
_GATEWAY = "/ex/confluence/"
_LONGEST_URL = 8190  # as in the front end of Confluence
_BROKEN = ("drop", "reset", "cut", "cut head", "reset body", "hang")
_HOW = ("respond", "redirect", *_BROKEN, "drip", "drip head")
_LINGER = 0.05  # seconds for the client to read the bytes before a reset


def _with_fault(response: Response, fault: Fault) -> Response:
    body = fault.body(response.body) if callable(fault.body) else fault.body
    if body is None:
        replaced = fault.status is not None and fault.status != response.status
        body = b"" if replaced else response.body
    headers = {**response.headers, **fault.headers}
    return Response(fault.status or response.status, body, headers)


class _Connection(asyncio.Protocol):
    """One connection: parses requests, and sends responses."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""
        self._busy = False
        self._last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        self.transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Remove the connection."""
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Collect the bytes of a request, and respond when it is complete."""
        self._buffer += data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        request = _parse(head.decode("latin-1"))
        length = int(request.headers.get("content-length", "0"))
        if len(rest) < length:
            return
        request.body, self._buffer = rest[:length], rest[length:]
        self._busy = True
        self._last = request.headers.get("connection", "").lower() == "close"
        try:
            self._server.receive(self, request)
        except Exception:  # noqa: BLE001 - the client must get a response after any exception
            # A bug in the server must not look like an injected fault.
            self.send(Response(500, traceback.format_exc().encode()), None)

    def send(self, response: Response, fault: Fault | None) -> None:
        """Send a response, changed by the fault."""
        how = fault.how if fault else "respond"
        if how == "hang":
            return
        if how == "drop":
            self.transport.close()
            return
        if how == "reset":
            self._reset()
            return
        head = _head(response)
        if how in ("cut", "cut head", "reset body"):
            half = head + response.body[: len(response.body) // 2]
            self.transport.write(head[: len(head) // 2] if how == "cut head" else half)
            if how == "reset body":
                asyncio.get_running_loop().call_later(_LINGER, self._reset)
            else:
                self.transport.close()
            return
        if how in ("drip", "drip head") and fault:
            at_once = head if how == "drip" else b""
            self.transport.write(at_once)
            self._drip((head + response.body)[len(at_once) :], fault.seconds)
            return
        self.transport.write(head + response.body)
        self._done()

    def _done(self) -> None:
        self._busy = False
        if self._last:
            self.transport.close()
        elif self._buffer:
            self._next()

    def _drip(self, body: bytes, seconds: float) -> None:
        if self.transport.is_closing():
            return
        if not body:
            self._done()
            return
        self.transport.write(body[:1])
        asyncio.get_running_loop().call_later(seconds, self._drip, body[1:], seconds)

    def _reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _parse(head: str) -> Request:
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    path, _, query = target.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True) if query else []
    cloud_id = ""
    if path.startswith(_GATEWAY):
        cloud_id, slash, path = path[len(_GATEWAY) :].partition("/")
        path = slash + path
    return Request(method, target, path, pairs, "", headers, cloud_id=cloud_id)


def _head(response: Response) -> bytes:
    reason = HTTPStatus(response.status).phrase if response.status in _STATUSES else "Unknown"
    headers = {
        "Content-Type": "application/json;charset=UTF-8",
        "Content-Length": str(len(response.body)),
        **response.headers,
    }
    lines = [f"HTTP/1.1 {response.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


_STATUSES = {status.value for status in HTTPStatus}
