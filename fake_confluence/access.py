"""Who may come in, and with what: API tokens, OAuth apps, service accounts, and the gateway before the site.

Atlassian says what a token endpoint and the gateway answer to a dead token, a wrong secret and a missing
scope. It does not say what they answer to a cloud id that does not exist (here: 404) or that a grant does
not cover (403), nor to an access token at the site's own address (401, as for a token with scopes).
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import orjson

from fake_confluence.responses import Response, api_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fake_confluence.contract import Operation

TENANT_INFO, TOKEN_ENDPOINT = "/_edge/tenant_info", "/oauth/token"
HOUR = 3600


@dataclass
class Grant:
    """What the holder of a token may do.

    Attributes:
        scopes: The scopes; None where the token has none and may do all that its account may.
        sites: The cloud ids that it is good for.
        uses: After how many requests it has expired; None for never.
    """

    scopes: frozenset[str] | None
    sites: frozenset[str]
    uses: int | None = None

    def covers(self, operation: Operation | None) -> bool:
        """Tell whether the scopes suffice; one kind of them is enough."""
        if self.scopes is None or operation is None or not operation.scopes:
            return True
        return any(self.scopes.issuperset(needed) for needed in operation.scopes.values())


@dataclass
class OAuthApp:
    """An OAuth app that someone consented to, or the credential of a service account.

    Attributes:
        scopes: What its access tokens may do, from the next one on.
        sites: The cloud ids that were consented to.
        refresh_token: The one that works; empty for a service account. It changes with each use.
        uses: After how many requests its access tokens expire, from the next one on; None for never.
    """

    client_id: str
    client_secret: str
    scopes: frozenset[str]
    sites: frozenset[str]
    refresh_token: str = ""
    uses: int | None = None


@dataclass(frozen=True)
class TokenRequest:
    """A request to the token endpoint: what was sent, and the status that it was answered with."""

    grant_type: str
    client_id: str
    refresh_token: str
    status: int


@dataclass
class Access:
    """The tokens that open a site.

    Attributes:
        requests: What the token endpoint was asked.
        given_out: Every token that was ever made.
    """

    email: str
    token: str
    cloud_id: str
    requests: list[TokenRequest] = field(default_factory=list)
    given_out: list[str] = field(default_factory=list)
    _scoped: dict[str, Grant] = field(default_factory=dict)
    _bearers: dict[str, Grant] = field(default_factory=dict)
    _apps: dict[str, OAuthApp] = field(default_factory=dict)

    def scoped_token(self, scopes: Iterable[str], email: str) -> str:
        """Make an API token with scopes."""
        token = self._new("scoped")
        self._scoped[f"{email}:{token}"] = Grant(frozenset(scopes), frozenset({self.cloud_id}))
        return token

    def register(self, app: OAuthApp, *, consented: bool) -> OAuthApp:
        """Let an app ask for tokens, with a refresh token where someone consented to it."""
        self._apps[app.client_id] = app
        app.refresh_token = self._new("refresh") if consented else ""
        return app

    def issue(self, app: OAuthApp) -> str:
        """Make an access token for an app."""
        token = self._new("access")
        self._bearers[token] = Grant(app.scopes, app.sites, app.uses)
        return token

    def _new(self, kind: str) -> str:
        self.given_out.append(f"{kind}-{secrets.token_hex(12)}")
        return self.given_out[-1]

    def expire(self) -> None:
        """Let all access tokens expire now."""
        self._bearers.clear()

    def refusal(
        self, authorization: str, path: str, cloud_id: str, operation: Operation | None
    ) -> Response | None:
        """Refuse a request, unless its credential opens what it asks for.

        Args:
            authorization: The header.
            path: The path, without the gateway's prefix.
            cloud_id: Which site the gateway was asked for; empty at the site itself.
            operation: What the path names, if it names something.
        """
        kind, _, packed = authorization.partition(" ")
        bearer = kind.lower() == "bearer"
        account = "" if bearer or kind.lower() != "basic" else _unpacked(packed)
        if account == f"{self.email}:{self.token}" and cloud_id in ("", self.cloud_id):
            return None
        grant = self._bearers.get(packed) if bearer else self._scoped.get(account)
        if not cloud_id:
            return _tomcat() if bearer or grant else _stranger(path)
        if bearer and (grant is None or grant.uses == 0):
            return _gateway(401, "Unauthorized")
        if cloud_id != self.cloud_id:
            return _gateway(404, "Not Found")
        if grant is None:
            return _stranger(path)
        if self.cloud_id not in grant.sites:
            return _gateway(403, "The app is not installed on this instance")
        if not grant.covers(operation):
            reason = {"x-failure-category": "FAILURE_CLIENT_SCOPE_CHECK"}
            return _gateway(401, "Unauthorized; scope does not match", reason)
        if grant.uses:
            grant.uses -= 1
        return None

    def token_answer(self, content_type: str, body: bytes) -> Response:
        """Answer the token endpoint: JSON or a form, with a refresh token or as a service account."""
        try:
            given = orjson.loads(body) if "json" in content_type else dict(parse_qsl(body.decode()))
        except ValueError:
            given = {}
        answer = self._tokens(given)
        names = ("grant_type", "client_id", "refresh_token")
        grant_type, client_id, refresh_token = (str(given.get(name) or "") for name in names)
        self.requests.append(TokenRequest(grant_type, client_id, refresh_token, answer.status))
        return answer

    def _tokens(self, given: dict[str, object]) -> Response:
        app = self._apps.get(str(given.get("client_id")))
        if app is None or given.get("client_secret") != app.client_secret:
            return _denied(401, "access_denied", "Unauthorized")
        if given.get("grant_type") != ("refresh_token" if app.refresh_token else "client_credentials"):
            return _denied(403, "unauthorized_client", "The client may not use this grant type")
        tokens: dict[str, object] = {
            "expires_in": HOUR,
            "token_type": "Bearer",
            "scope": " ".join(sorted(app.scopes)),
        }
        if app.refresh_token:
            if given.get("refresh_token") != app.refresh_token:
                return _denied(403, "unauthorized_client", "refresh_token is invalid")
            app.refresh_token = tokens["refresh_token"] = self._new("refresh")
        tokens["access_token"] = self.issue(app)
        return Response(200, orjson.dumps(tokens))


def _unpacked(packed: str) -> str:
    try:
        return base64.b64decode(packed, validate=True).decode()
    except (ValueError, binascii.Error):
        return ""


def _stranger(path: str) -> Response:
    """Refuse who is not known: Confluence says 404 on v2 and 403 on v1, never 401."""
    if api_of(path) == "v2":
        error = {"status": 404, "code": "NOT_FOUND", "title": "Not Found", "detail": None}
        return Response(404, orjson.dumps({"errors": [error]}))
    return Response(403, b'{"message":"Current user not permitted to use Confluence","statusCode":403}')


def _tomcat() -> Response:
    title = "HTTP Status 401 \u2013 Unauthorized"
    page = f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Response(401, page.encode(), {"Content-Type": "text/html;charset=utf-8"})


def _gateway(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(status, orjson.dumps({"code": status, "message": message}), headers or {})


def _denied(status: int, error: str, description: str) -> Response:
    return Response(status, orjson.dumps({"error": error, "error_description": description}))
