"""The console script `source-confluence`: the CDK's entrypoint with messages for people."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.exception_handler import assemble_uncaught_exception
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets, filter_secrets
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from source_confluence.messages import reason
from source_confluence.output import take_over_stdout
from source_confluence.source import SourceConfluence

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping

    from airbyte_cdk.models import ConnectorSpecification
    from jsonschema import ValidationError

Returned = TypeVar("Returned")
LOGGER = logging.getLogger("airbyte")
FLUSH_SECONDS, FLUSH_LENGTH = 0.1, 1 << 18
M_ARENA_MAX = -8  # as in malloc.h
READER_LEFT = 141  # as of a process that SIGPIPE ended
HINTS = {
    "configuration": "`source-confluence --help` shows one.",
    "catalog": "`source-confluence --help` shows one. `discover` prints the streams that it can name.",
    "state": "Hand in the state that the last sync printed, or none.",
}
HELP = """\
usage: source-confluence {spec,check,discover,read} ...

Reads Confluence Cloud and prints what it finds on stdout, one JSON message of the Airbyte protocol a line.

  source-confluence spec                                    what can be configured
  source-confluence check    --config FILE                  tries to sign in, and says what cannot be read
  source-confluence discover --config FILE                  the streams and their fields
  source-confluence read     --config FILE --catalog FILE   the records; with --state FILE what is new

The configuration, with a token from https://id.atlassian.com/manage-profile/security/api-tokens:

  {
    "email": "you@example.com",
    "api_token": "...",
    "domain_name": "example.atlassian.net"
  }

The catalog names the streams to read:

  {"streams": [{"stream": {"name": "pages", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
                "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}
"""


class Entrypoint(AirbyteEntrypoint):
    """The CDK's entrypoint, which says in a sentence what is wrong with a configuration."""

    @staticmethod
    def set_up_secret_filter(config: Mapping[str, Any], connection_specification: Mapping[str, Any]) -> None:
        """Keep secrets out of what is printed, also in the form in which they are sent."""
        AirbyteEntrypoint.set_up_secret_filter(config, connection_specification)
        nested = config.get("credentials")
        given = nested if isinstance(nested, dict) else config
        pair = f"{given.get('email')}:{given.get('api_token')}"
        add_to_secrets(base64.b64encode(pair.encode(errors="replace")).decode())

    @staticmethod
    def validate_connection(source_spec: ConnectorSpecification, config: Mapping[str, Any]) -> None:
        """Hold a configuration against the spec.

        Raises:
            AirbyteTracedException: It does not fit. The CDK's own message would quote the value, which
                may be a secret, and show a regular expression.
        """
        spec = source_spec.connectionSpecification
        ways = spec["properties"]["credentials"]["oneOf"]
        ways_by_type = {way["properties"]["auth_type"]["const"]: way for way in ways}
        match config.get("credentials"):
            case None:
                missing = [field for field in ("email", "api_token") if field not in config]
                if missing:
                    other = " It needs credentials, or else email and api_token."
                    raise _config_error(f"The configuration lacks {' and '.join(missing)}.{other}")
            case {"auth_type": auth_type} if auth_type not in list(ways_by_type):
                raise _config_error(f"credentials.auth_type must be one of: {', '.join(ways_by_type)}.")
            case {"auth_type": auth_type}:
                # Held against the way that was meant, so that the sentence is about that one.
                spec = {**spec, "properties": {**spec["properties"], "credentials": ways_by_type[auth_type]}}
            case {}:
                raise _config_error("credentials lacks auth_type, which says the way to sign in.")
        error = best_match(Draft7Validator(spec).iter_errors(config))
        if error is not None:
            raise _config_error(_sentence(error))


def main() -> None:
    """Run as a process of its own."""
    _share_memory_among_threads()
    logging.raiseExceptions = False  # a log that nobody reads is not worth a traceback
    output = take_over_stdout()
    code: object = 0
    try:
        run()
    except SystemExit as stop:
        code = stop.code
    output.end_process(code if isinstance(code, int) else 0)


def _share_memory_among_threads() -> None:
    """Have the C library take the bodies of all threads from two stores instead of one for each thread.

    A body is made in one thread and given back in another, so that each store keeps room that no other may
    use: a fifth of what the process holds. A library that has no such setting (macOS) is left alone.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def run(args: list[str] | None = None) -> None:
    """Execute one command of the Airbyte protocol: spec, check, discover or read.

    Args:
        args: The command line without the program's name; that of the process when left out.

    Raises:
        SystemExit: With 1 after an error, which stands on stdout as an Airbyte message and on stderr as a
            sentence; with 2 after a command line that makes no sense; with 141 when who read the output left.
    """
    args = sys.argv[1:] if args is None else args
    if not args or args[0] in ("-h", "--help"):
        _write(HELP)
    else:
        _execute(Entrypoint.parse_args(args))


def _execute(parsed: argparse.Namespace) -> None:
    """Print the messages of one command.

    Raises:
        SystemExit: With 1 after an error.
    """
    try:
        _require_room_for_files()
        _print(Entrypoint(_source(parsed)).run(parsed))
    except Exception as error:  # noqa: BLE001 - any error: a person gets a sentence, the platform a trace
        _report(assemble_uncaught_exception(type(error), error), parsed.command)
        sys.exit(1)


def _write(text: str) -> None:
    """Write whole lines.

    Raises:
        SystemExit: They cannot be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(READER_LEFT)
    except OSError as error:
        print(f"source-confluence: The output cannot be written: {error.strerror}.", file=sys.stderr)
        sys.exit(1)


def _print(messages: Iterable[str]) -> None:
    """Print messages as they come, at most a tenth of a second late while more follow.

    The CDK's print buffer is not used: it sends to stdout what others write to stderr.
    """
    waiting: list[str] = []
    length, written = 0, time.monotonic()
    try:
        for message in messages:
            waiting.append(message)
            length += len(message)
            if length > FLUSH_LENGTH or time.monotonic() - written > FLUSH_SECONDS:
                lines, waiting = "\n".join([*waiting, ""]), []
                _write(lines)
                length, written = 0, time.monotonic()
    finally:
        _write("\n".join([*waiting, ""]))


def _require_room_for_files() -> None:
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        sentence = (
            "No directory for temporary files can be written to. Make room, or name another one in TMPDIR."
        )
        raise AirbyteTracedException(
            message=sentence, internal_message=str(error), failure_type=FailureType.system_error
        ) from error


def _source(parsed: argparse.Namespace) -> SourceConfluence:
    """Build the source from the files that the command line names."""
    given = vars(parsed)
    config = _json_file("configuration", given["config"]) if given.get("config") else None
    if given.get("config") and not isinstance(config, dict):
        raise _config_error(
            f"The configuration in {given['config']} must be a JSON object: {{…}}. {HINTS['configuration']}"
        )
    catalog = _protocol_file("catalog", given.get("catalog"), SourceConfluence.read_catalog)
    state = _protocol_file("state", given.get("state"), SourceConfluence.read_state)
    try:
        return SourceConfluence(catalog, config, state, given.get("config"))
    except Exception:
        # Some values stop the CDK while it builds the source, before it holds them against the spec.
        Entrypoint.validate_connection(SourceConfluence().spec(LOGGER), config or {})
        raise


def _protocol_file(what: str, path: str | None, read: Callable[[str], Returned]) -> Returned | None:
    """Return what the CDK makes of a file, or None where no file is named."""
    _json_file(what, path)
    try:
        return read(path) if path else None
    except Exception as error:
        said = f"The {what} in {path} is not what Airbyte's protocol asks for. {HINTS[what]}"
        raise _config_error(said, str(error)) from error


def _json_file(what: str, path: str | None) -> Any:
    """Return what the file holds, or None where no file is named."""
    if path is None:
        return None
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        said = f"The {what} file {path} cannot be read: {error.strerror}."
    except (ValueError, RecursionError) as error:
        said = f"The {what} file {path} does not hold valid JSON: {error}."
    raise _config_error(f"{said} {HINTS[what]}")


def _sentence(error: ValidationError) -> str:
    """Say what a value in the configuration must be, without quoting it."""
    name = ".".join(str(part) for part in error.absolute_path) or "The configuration"
    rule, bound = error.validator, cast("Any", error.validator_value)
    schema, value = cast("Any", error.schema), cast("Any", error.instance)
    match rule:
        case "required":
            missing = next(key for key in bound if key not in value)
            return f"{name} lacks {missing}. {schema['properties'][missing]['description']}"
        case "pattern":
            return f"{name} must be {schema['pattern_descriptor']}."
        case "type":
            return f"{name} must be of type {bound}."
        case "enum":
            return f"{name} must be one of: {', '.join(map(str, bound))}."
        case "minimum" | "maximum":
            return f"{name} must be between {schema['minimum']} and {schema['maximum']}."
        case "minLength":
            return f"{name} must not be empty."
        case _:
            return f"{name} does not fit the specification ({rule}: {bound})."


def _config_error(message: str, internal_message: str = "") -> AirbyteTracedException:
    return AirbyteTracedException(
        message=message, internal_message=internal_message or message, failure_type=FailureType.config_error
    )


def _report(error: AirbyteTracedException, command: str) -> None:
    """Tell the platform on stdout and a person on stderr."""
    error.message = reason(error.message or str(error))
    status = error.as_connection_status_message() if command == "check" else None
    for message in filter(None, [error.as_sanitized_airbyte_message(), status]):
        _write(Entrypoint.airbyte_message_to_string(message) + "\n")
    print(filter_secrets(f"source-confluence: {error.message}"), file=sys.stderr)
