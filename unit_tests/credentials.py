"""A configuration for each authentication method."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from common.connector import STREAMS

if TYPE_CHECKING:
    from fake_confluence import OAuthApp, Server

Config = dict[str, Any]


OPERATIONS = [operation for stream in STREAMS.values() for operation in stream.operations]
EVERY_SCOPE = sorted({scope for op in OPERATIONS for kind in op.scopes.values() for scope in kind})


NUMBERS = itertools.count()


def config(server: Server, auth_type: str, **credentials: Any) -> Config:
    credentials = {"auth_type": auth_type, "cloud_id": server.cloud_id, **credentials}
    return {"domain_name": server.url, "credentials": credentials}


def scoped(server: Server, scopes: list[str] | None = None, **other: Any) -> Config:
    token = server.scoped_token(EVERY_SCOPE if scopes is None else scopes)
    return config(server, "scoped_api_token", **{"email": server.email, "api_token": token, **other})


def oauth(server: Server, app: OAuthApp | None = None, **other: Any) -> Config:
    app = app or server.oauth_app(EVERY_SCOPE, client_id=f"app-{next(NUMBERS)}")
    known = {"client_id": app.client_id, "client_secret": app.client_secret}
    return config(server, "oauth2.0", **{**known, "refresh_token": app.refresh_token, **other})


def service(server: Server, **other: Any) -> Config:
    app = server.service_account(EVERY_SCOPE, client_id=f"account-{next(NUMBERS)}")
    known = {"client_id": app.client_id, "client_secret": app.client_secret}
    return config(server, "service_account", **{**known, **other})


def classic(server: Server, **other: Any) -> Config:
    return config(server, "api_token", **{"email": server.email, "api_token": server.token, **other})


WAYS = {"api_token": classic, "scoped_api_token": scoped, "oauth2.0": oauth, "service_account": service}
