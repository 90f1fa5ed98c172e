"""One access token for all streams of a service account, where the CDK asks for one for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airbyte_cdk.sources.declarative.auth import oauth
from airbyte_cdk.sources.declarative.parsers import model_to_component_factory

if TYPE_CHECKING:
    from airbyte_cdk.utils.datetime_helpers import AirbyteDateTime

_tokens: dict[tuple[str | None, str, str], str] = {}
_expiries: dict[tuple[str | None, str, str], AirbyteDateTime] = {}


class SharedTokenAuthenticator(oauth.DeclarativeOauth2Authenticator):
    """Take the token that another stream got.

    Every requester of every stream and of its parents has an authenticator of its own: over a hundred
    requests to the token endpoint at the beginning of a sync, and as many when an hour has gone by.

    To be deleted when the CDK shares the tokens of equal OAuthAuthenticators.
    """

    @property
    def _client(self) -> tuple[str | None, str, str]:
        return self.get_token_refresh_endpoint(), self.get_client_id(), self.get_client_secret()

    def _has_access_token_been_initialized(self) -> bool:
        return self._client in _tokens

    @property
    def access_token(self) -> str:
        """The token that all share."""
        if self._client not in _tokens:
            raise ValueError("access_token is not set")
        return _tokens[self._client]

    @access_token.setter
    def access_token(self, value: str) -> None:
        _tokens[self._client] = value

    def get_token_expiry_date(self) -> AirbyteDateTime:
        """Return when the token expires that all share."""
        return _expiries.get(self._client) or super().get_token_expiry_date()

    def set_token_expiry_date(self, value: AirbyteDateTime) -> None:
        """Set when it expires."""
        super().set_token_expiry_date(value)
        if self._token_expiry_date:
            _expiries[self._client] = self._token_expiry_date


def install() -> None:
    """Have the CDK build these for a manifest's OAuthAuthenticator without a refresh_token_updater."""
    model_to_component_factory.DeclarativeOauth2Authenticator = SharedTokenAuthenticator  # type: ignore[misc]
