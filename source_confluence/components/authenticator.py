"""Access tokens that arrive in time, and refresh tokens that are kept."""

import logging
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.auth import DeclarativeOauth2Authenticator
from airbyte_cdk.sources.declarative.auth.oauth import DeclarativeSingleUseRefreshTokenOauth2Authenticator
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets

from source_confluence.components.decoder import parsed, quoted
from source_confluence.config import read_json
from source_confluence.messages import error, say

LOGGER = logging.getLogger("airbyte")
TOKEN_SECONDS = 300
TIMEOUTS = (15, 60)  # to connect, and between two bytes
WAITS = (1, 2, 4, 8, 16, 32, 64)  # seconds between two attempts
TEMPORARY = {408, 429, *range(500, 600)}
LASTING = (requests.exceptions.SSLError, requests.exceptions.ProxyError, ValueError)
RENEWED = ("access_token", "refresh_token", "token_expiry_date")
SENTENCES = {
    "access_denied": "unknown_client",
    "invalid_client": "unknown_client",
    "invalid_grant": "refresh_token_refused",
    "unauthorized_client": "refresh_token_refused",
}


class TimelyTokens:
    """Limit the time for an access token, and say why there is none.

    The CDK waits forever for a token endpoint that does not respond, retries five minutes what no retry can cure, and
    reports a web page as an error of its parser.

    Tests: `test_faults.py`, "a token endpoint"; `test_advice.py`. Delete it when the CDK does neither.
    """

    waits: tuple[float, ...] = WAITS  # the factory sets it
    get_token_refresh_endpoint: Callable[[], str]
    build_refresh_request_body: Callable[[], Any]

    def _make_handled_request(self) -> Any:
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(self._request_tokens).result(timeout=TOKEN_SECONDS)
        except LateError as failure:
            raise error("no_token", failure, host=self._host) from failure
        finally:
            pool.shutdown(wait=False)

    @property
    def _host(self) -> str:
        return urlsplit(self.get_token_refresh_endpoint()).netloc

    def _request_tokens(self) -> Any:
        for wait in (*self.waits, None):
            try:
                response = requests.post(
                    self.get_token_refresh_endpoint(), self.build_refresh_request_body(), timeout=TIMEOUTS
                )
            except OSError as failure:  # of the network, or about a file of certificates
                if (
                    wait is None
                    or isinstance(failure, LASTING)
                    or not isinstance(failure, requests.RequestException)
                ):
                    raise AirbyteTracedException(
                        message=f"{type(failure).__name__}: {failure}",
                        failure_type=FailureType.transient_error,
                    ) from failure
            else:
                if wait is None or response.status_code not in TEMPORARY:
                    return self._tokens(response)
            time.sleep(wait)
        return None

    def _tokens(self, response: requests.Response) -> Any:
        body = parsed(response)
        given = body if isinstance(body, dict) else {}
        if given.get("access_token"):
            for secret in filter(None, map(given.get, RENEWED[:2])):
                add_to_secrets(str(secret))
            return body
        sentence = SENTENCES.get(str(given.get("error")), "token_refused")
        said = given.get("error_description") or given.get("error") or quoted(response)
        raise error(sentence, host=self._host, status=response.status_code, said=str(said).rstrip("."))


class TimelyOauthAuthenticator(TimelyTokens, DeclarativeOauth2Authenticator):
    """For the credential of a service account."""


class KeepingOauthAuthenticator(TimelyTokens, DeclarativeSingleUseRefreshTokenOauth2Authenticator):
    """Write the next refresh token back to the file that the configuration is from: the one in the file is used up.

    On Airbyte the platform keeps what the CONTROL message says; elsewhere nobody does, and the next command with the
    same file would fail.

    Test: `test_auth.py`, "the file". Delete it when the CDK writes such a configuration back.
    """

    file: str | None = None  # the factory sets it

    def _emit_control_message(self) -> None:
        super()._emit_control_message()
        if self.file:
            keep(Path(self.file), {name: self._connector_config["credentials"][name] for name in RENEWED})


def keep(file: Path, renewed: dict[str, str]) -> None:
    """Replace a configuration file by one with other tokens: whole, or not at all."""
    file = file.resolve()
    part = file.with_name(f".{file.name}.new")
    if not file.is_file():
        LOGGER.warning(say("not_kept", file=file.name, said="it is no file"))
        return
    try:
        given = read_json(str(file))
        given["credentials"].update(renewed)
        part.touch(0o600)
        part.write_bytes(orjson.dumps(given, option=orjson.OPT_INDENT_2))
        shutil.copymode(file, part)
        part.replace(file)
    except OSError as failure:  # such as a volume that is read-only
        LOGGER.warning(say("not_kept", file=file.name, said=failure.strerror))
