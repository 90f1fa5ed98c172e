"""Access tokens that arrive in time."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.auth import DeclarativeOauth2Authenticator
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.datetime_helpers import AirbyteDateTime

TOKEN_SECONDS = 300


class TimelyOauthAuthenticator(DeclarativeOauth2Authenticator):
    """Limit the time for an access token: the CDK waits forever for a token endpoint that does not respond.

    Test: `test_faults.py::test_a_token_endpoint_that_does_not_respond_fails_the_check`. Delete it when the CDK's
    token request has a timeout.
    """

    def refresh_access_token(self) -> tuple[str, AirbyteDateTime]:
        """Return a new token and the time at which it expires.

        Raises:
            AirbyteTracedException: It does not arrive in time.
        """
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(super().refresh_access_token).result(timeout=TOKEN_SECONDS)
        except LateError as error:
            raise AirbyteTracedException(
                message="OAuth access token refresh request got no response in time.",
                failure_type=FailureType.transient_error,
            ) from error
        finally:
            pool.shutdown(wait=False)
