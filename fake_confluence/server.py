"""Serve a site over HTTP on the loopback interface, and fail in the ways that networks do."""

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

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Self

    from fake_confluence.site import Site

Bytes = bytes | Callable[[bytes], bytes] | None


@dataclass
class Request:
    """A request that came in.

    Attributes:
        target: Path and query as they were sent.
        path: The path, without the gateway's prefix.
        query: Names and values, decoded, in the order in which they were sent.
        operation: The path template in contract.yaml; empty when it names none.
        headers: By name in lower case.
        status: What was answered; 0 while it is not, or when the connection was broken instead.
        cloud_id: Which site the gateway was asked for; empty at the site itself.
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
        """Return all values that were sent for a parameter."""
        return [value for key, value in self.query if key == name]


@dataclass
class Fault:
    """A failure that was ordered; see `Server.fail`."""

    match: str
    times: int | None
    after: int
    status: int | None
    headers: dict[str, str]
    body: Bytes
    how: str
    seconds: float
    seen: int = 0

    def strikes(self) -> bool:
        """Count a matching request, and tell whether the fault strikes it."""
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
    """A Confluence site on 127.0.0.1, in a thread of its own.

    Requests are answered one after the other, so that what a hook changes is whole before the
    next answer. Use it as a context manager, or call `start` and `close`.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - a call names the few that it needs
        self,
        site: Site,
        port: int = 0,
        latency: float = 0.0,
        email: str = "demo@example.com",
        token: str = "demo-token",  # noqa: S107 - it opens nothing but this
        max_page: int = 0,
        rate: int = 0,
    ) -> None:
        """Prepare a server; nothing listens yet.

        Args:
            site: The data; see `company` and `generate`.
            email: Who may sign in.
            token: With which API token.
            port: 0 for any free one.
            latency: Seconds that every answer waits.
            max_page: No page holds more records than this, whatever limit is asked for; 0 for no cap.
            rate: So many requests are answered within a second, the others with 429; 0 for no limit.
        """
        self.site = site
        self.port = port
        self.latency = latency
        said = next(iter(site.records("site_info")), {})
        self.access = Access(email, token, said.get("cloudId", _CLOUD_ID))
        self.max_page = max_page
        self.rate = rate
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
        """Who may sign in with the API token."""
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
        """The id by which the gateway knows the site."""
        return self.access.cloud_id

    def scoped_token(self, scopes: Iterable[str], email: str = "") -> str:
        """Make an API token with scopes, which opens the gateway only, for `email` or the usual account."""
        return self.access.scoped_token(scopes, email or self.email)

    def oauth_app(
        self,
        scopes: Iterable[str],
        client_id: str = "demo-app",
        client_secret: str = "demo-app-secret",  # noqa: S107 - it opens nothing but this
        sites: Iterable[str] = (),
    ) -> OAuthApp:
        """Make an OAuth app to which someone consented, for this site or for those with these cloud ids."""
        granted = frozenset(sites) or frozenset({self.cloud_id})
        app = OAuthApp(client_id, client_secret, frozenset(scopes), granted)
        return self.access.register(app, consented=True)

    def service_account(
        self,
        scopes: Iterable[str],
        client_id: str = "demo-service",
        client_secret: str = "demo-service-secret",  # noqa: S107 - it opens nothing but this
    ) -> OAuthApp:
        """Make the OAuth credential of a service account."""
        sites = frozenset({self.cloud_id})
        app = OAuthApp(client_id, client_secret, frozenset(scopes), sites)
        return self.access.register(app, consented=False)

    def expire_tokens(self) -> None:
        """Let all access tokens expire now; see `OAuthApp.uses` for a moment amid a read."""
        self.access.expire()

    def start(self) -> Server:
        """Begin to listen; returns when requests can be sent."""
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
        """Stop listening and break all connections."""
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
        """Start, unless it is started."""
        if self._loop is None:
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def requests_to(self, match: str) -> list[Request]:
        """Return the requests to an operation, or to what a regular expression finds."""
        return [request for request in list(self.log) if self._matches(match, request)]

    def before(self, match: str, callback: Callable[[Request], object]) -> None:
        """Call back before each matching request is answered, to change the site under a read."""
        self._hooks.append(_Hook(match, callback))

    def deny(self, match: str, status: int = 403, message: str = "") -> None:
        """Refuse an operation as Confluence does when plan or permission are missing."""
        message = message or "The current user does not have the permission that this needs"
        self._denials.append(_Denial(match, status, message))

    def allow(self, match: str) -> None:
        """Take a denial back."""
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
        how: str = "answer",
        seconds: float = 1.0,
    ) -> Fault:
        """Make matching requests fail; faults are tried in the order in which they were ordered.

        Args:
            match: A path template of contract.yaml, or a regular expression that is searched for
                in path and query.
            times: How many requests it strikes; None for all.
            after: How many matching requests pass first.
            status: The status instead of the genuine one.
            headers: Headers besides the usual ones, or instead of them.
            body: The body instead of the genuine one, or what makes it from the genuine one.
            how: "answer"; "redirect" (302 to headers["Location"]); "drop" (close without a
                word); "reset" (the same with a TCP reset); "cut" (break off amid the body);
                "cut head" (amid the headers); "reset body" (with a TCP reset amid the body);
                "hang" (never answer); "drip" (a byte of the body every so many seconds);
                "drip head" (a byte of the headers).
            seconds: The pause between two bytes of a drip.
        """
        if how not in _HOW:
            raise ValueError(f"how must be one of {', '.join(_HOW)}, not {how!r}")
        if how == "redirect":
            status = status or 302
        fault = Fault(match, times, after, status, headers or {}, body, how, seconds)
        self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget all faults, denials and hooks."""
        self._faults.clear()
        self._denials.clear()
        self._hooks.clear()

    def _matches(self, match: str, request: Request) -> bool:
        if match in self.contract.operations:
            return request.operation == match
        return re.search(match, request.target) is not None

    def receive(self, connection: _Connection, request: Request) -> None:
        """Answer a request, late or wrongly if that was ordered."""
        is_media = self.media.url.endswith("//" + request.headers.get("host", ""))
        (self.media.log if is_media else self.log).append(request)
        found, _ = self.contract.find(request.path)
        request.operation = found if isinstance(found, str) else found.path if found else ""
        with self.site.lock:
            for hook in list(self._hooks):
                if self._matches(hook.match, request):
                    hook.callback(request)
            struck = (f for f in self._faults if self._matches(f.match, request) and f.strikes())
            fault = next(struck, None)
            answer = self.media.answer(request) if is_media else self._answer(request)
        if fault is not None:
            answer = _spoil(answer, fault)
        request.status = 0 if fault and fault.how in _BROKEN else answer.status
        if self.latency and self._loop is not None:
            self._loop.call_later(self.latency, connection.send, answer, fault)
        else:
            connection.send(answer, fault)

    def _answer(self, request: Request) -> Response:
        if not request.path.startswith("/wiki"):
            beside = self._beside_the_wiki(request)
            if beside is not None:
                return beside
        if self.rate and self._too_many():
            refused = refuse(api_of(request.path), 429, "Rate limit exceeded")
            return replace(refused, headers={"Retry-After": "1"})
        operation = self.contract.operations.get(request.operation)
        authorization = request.headers.get("authorization", "")
        denied = self.access.refusal(authorization, request.path, request.cloud_id, operation)
        denied = denied or self._denied(request)
        if denied is not None:
            return denied
        if request.method != "GET":
            return refuse(api_of(request.path), 405, "Method Not Allowed")
        target = (
            request.target[len(_GATEWAY) + len(request.cloud_id) :] if request.cloud_id else request.target
        )
        return respond(self.site, self.contract, target, self.url, self.max_page, self.media.sign)

    def _too_many(self) -> bool:
        """Tell whether the last second has seen as many requests as are allowed; count this one if not."""
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        if len(self._recent) >= self.rate:
            return True
        self._recent.append(now)
        return False

    def _beside_the_wiki(self, request: Request) -> Response | None:
        """Answer what Atlassian keeps on the site, or on hosts of its own, for anyone who asks."""
        if (request.method, request.path) == ("GET", TENANT_INFO):
            return Response(200, f'{{"cloudId":"{self.cloud_id}"}}'.encode())
        if (request.method, request.path) == ("POST", TOKEN_ENDPOINT):
            return self.access.token_answer(request.headers.get("content-type", ""), request.body)
        return None

    def _denied(self, request: Request) -> Response | None:
        for denial in self._denials:
            if self._matches(denial.match, request):
                return refuse(api_of(request.path), denial.status, denial.message)
        return None


# Of a site that holds nothing, its own description included.
_CLOUD_ID = "00000000-0000-4000-8000-000000000000"
_GATEWAY = "/ex/confluence/"
_BROKEN = ("drop", "reset", "cut", "cut head", "reset body", "hang")
_HOW = ("answer", "redirect", *_BROKEN, "drip", "drip head")
_LINGER = 0.05  # seconds in which the client takes what came before a reset


def _spoil(answer: Response, fault: Fault) -> Response:
    body = fault.body(answer.body) if callable(fault.body) else fault.body
    if body is None:
        replaced = fault.status is not None and fault.status != answer.status
        body = b"" if replaced else answer.body
    headers = {**answer.headers, **fault.headers}
    return Response(fault.status or answer.status, body, headers)


class _Connection(asyncio.Protocol):
    """One connection: takes requests apart, and sends answers in one piece."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""
        self._busy = False
        self._last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way back."""
        self.transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection."""
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Gather a request, and have it answered when it is whole."""
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
        except Exception:  # noqa: BLE001 - whatever it was, the client must get an answer
            # A fault of ours must not look like one that a test ordered.
            self.send(Response(500, traceback.format_exc().encode()), None)

    def send(self, answer: Response, fault: Fault | None) -> None:
        """Send an answer, or what the fault makes of it."""
        how = fault.how if fault else "answer"
        if how == "hang":
            return
        if how == "drop":
            self.transport.close()
            return
        if how == "reset":
            self._reset()
            return
        head = _head(answer)
        if how in ("cut", "cut head", "reset body"):
            half = head + answer.body[: len(answer.body) // 2]
            self.transport.write(head[: len(head) // 2] if how == "cut head" else half)
            if how == "reset body":
                asyncio.get_running_loop().call_later(_LINGER, self._reset)
            else:
                self.transport.close()
            return
        if how in ("drip", "drip head") and fault:
            at_once = head if how == "drip" else b""
            self.transport.write(at_once)
            self._drip((head + answer.body)[len(at_once) :], fault.seconds)
            return
        self.transport.write(head + answer.body)
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


def _head(answer: Response) -> bytes:
    reason = HTTPStatus(answer.status).phrase if answer.status in _STATUSES else "Unknown"
    headers = {
        "Content-Type": "application/json;charset=UTF-8",
        "Content-Length": str(len(answer.body)),
        **answer.headers,
    }
    lines = [f"HTTP/1.1 {answer.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


_STATUSES = {status.value for status in HTTPStatus}
