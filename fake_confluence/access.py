"""Authentication: API tokens, OAuth apps, service accounts, and the gateway before the site.

Atlassian documents the responses of the token endpoint and the gateway to an invalid token, a wrong secret and a
missing scope. It does not document those to an unknown cloud id (here: 404), to a cloud id that a grant does not
cover (403), and to an access token at the site's own address (401, as for a token with scopes).
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
    """The permissions of a token.

    Attributes:
        scopes: The scopes; None if the token has no scopes and has all permissions of its account.
        sites: The cloud ids for which it is valid.
        uses: The number of requests after which it expires; None if it never expires.
    """

    scopes: frozenset[str] | None
    sites: frozenset[str]
    uses: int | None = None

    def covers(self, operation: Operation | None) -> bool:
        """Return whether the scopes are sufficient; all scopes of one kind are enough."""
        if self.scopes is None or operation is None or not operation.scopes:
            return True
        return any(self.scopes.issuperset(needed) for needed in operation.scopes.values())


@dataclass
class OAuthApp:
    """An OAuth app with a user's consent, or the credential of a service account.

    Attributes:
        scopes: The scopes of its next access tokens.
        sites: The cloud ids of the consent.
        refresh_token: The valid one; empty for a service account. It changes with each use.
        uses: The number of requests after which its next access tokens expire; None if they never expire.
    """

    client_id: str
    client_secret: str
    scopes: frozenset[str]
    sites: frozenset[str]
    refresh_token: str = ""
    uses: int | None = None


@dataclass(frozen=True)
class TokenRequest:
    """A request to the token endpoint, and the status of its response."""

    grant_type: str
    client_id: str
    refresh_token: str
    status: int


@dataclass
class Access:
    """The valid tokens of a site.

    Attributes:
        requests: The requests to the token endpoint.
        issued: All tokens so far, including expired ones.
    """

    email: str
    token: str
    cloud_id: str
    requests: list[TokenRequest] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    _scoped: dict[str, Grant] = field(default_factory=dict)
    _bearers: dict[str, Grant] = field(default_factory=dict)
    _apps: dict[str, OAuthApp] = field(default_factory=dict)

    def scoped_token(self, scopes: Iterable[str], email: str) -> str:
        """Create an API token with scopes."""
        token = self._new("scoped")
        self._scoped[f"{email}:{token}"] = Grant(frozenset(scopes), frozenset({self.cloud_id}))
        return token

    def register(self, app: OAuthApp, *, consented: bool) -> OAuthApp:
        """Let an app request tokens, with a refresh token if a user consented to it."""
        self._apps[app.client_id] = app
        app.refresh_token = self._new("refresh") if consented else ""
        return app

    def issue(self, app: OAuthApp) -> str:
        """Issue an access token for an app."""
        token = self._new("access")
        self._bearers[token] = Grant(app.scopes, app.sites, app.uses)
        return token

    def _new(self, kind: str) -> str:
        self.issued.append(f"{kind}-{secrets.token_hex(12)}")
        return self.issued[-1]

    def expire(self) -> None:
        """Expire all access tokens now."""
        self._bearers.clear()

    def refusal(
        self, authorization: str, path: str, cloud_id: str, operation: Operation | None
    ) -> Response | None:
        """Return the error for a request, or None if its credential is valid for it.

        Args:
            authorization: The header.
            path: The path, without the gateway's prefix.
            cloud_id: The cloud id in the gateway's path; empty at the site itself.
            operation: The requested operation; None if the path names none.
        """
        kind, _, packed = authorization.partition(" ")
        bearer = kind.lower() == "bearer"
        account = "" if bearer or kind.lower() != "basic" else _unpacked(packed)
        if account == f"{self.email}:{self.token}" and cloud_id in ("", self.cloud_id):
            return None
        grant = self._bearers.get(packed) if bearer else self._scoped.get(account)
        if not cloud_id:
            return _tomcat() if bearer or grant else _unknown_credential(path)
        if bearer and (grant is None or grant.uses == 0):
            return _gateway(401, "Unauthorized")
        if cloud_id != self.cloud_id:
            return _gateway(404, "Not Found")
        if grant is None:
            return _unknown_credential(path)
        if self.cloud_id not in grant.sites:
            return _gateway(403, "The app is not installed on this instance")
        if not grant.covers(operation):
            reason = {"x-failure-category": "FAILURE_CLIENT_SCOPE_CHECK"}
            return _gateway(401, "Unauthorized; scope does not match", reason)
        if grant.uses:
            grant.uses -= 1
        return None

    def is_unknown(self, authorization: str) -> bool:
        """Return whether a request has no credential, or an email and token that no account has."""
        kind, _, packed = authorization.partition(" ")
        account = _unpacked(packed)
        known = account == f"{self.email}:{self.token}" or account in self._scoped
        return kind.lower() in ("", "basic") and not known

    def token_response(self, content_type: str, body: bytes) -> Response:
        """Respond to a token request: JSON or a form, with a refresh token or client credentials."""
        try:
            given = orjson.loads(body) if "json" in content_type else dict(parse_qsl(body.decode()))
        except ValueError:
            given = {}
        response = self._tokens(given)
        names = ("grant_type", "client_id", "refresh_token")
        grant_type, client_id, refresh_token = (str(given.get(name) or "") for name in names)
        self.requests.append(TokenRequest(grant_type, client_id, refresh_token, response.status))
        return response

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


def _unknown_credential(path: str) -> Response:
    """Refuse an unknown credential: Confluence returns 404 on v2 and 403 on v1, never 401."""
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
