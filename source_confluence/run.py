"""The console script `source-confluence`: the CDK's entrypoint, with sentences instead of tracebacks."""

import argparse
import base64
import contextlib
import ctypes
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.exception_handler import assemble_uncaught_exception
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets, filter_secrets, get_secrets

from source_confluence.config import read_file, read_json, validate
from source_confluence.messages import PLACE, SaidError, error, reason, say
from source_confluence.output import take_over_stdout
from source_confluence.source import SPACES, SourceConfluence

M_ARENA_MAX = -8  # as in malloc.h
HELP = Path(__file__).with_name("help.txt")


class Entrypoint(AirbyteEntrypoint):
    """The CDK's entrypoint, which also knows the secrets in the form in which they are sent."""

    @staticmethod
    def set_up_secret_filter(config: Mapping[str, Any], connection_specification: Mapping[str, Any]) -> None:
        """Keep secrets out of all output."""
        AirbyteEntrypoint.set_up_secret_filter(config, connection_specification)
        nested = config.get("credentials")
        given = nested if isinstance(nested, dict) else config
        pair = f"{given.get('email')}:{given.get('api_token')}"
        add_to_secrets(base64.b64encode(pair.encode(errors="replace")).decode())
        for secret in map(str, get_secrets(connection_specification, config)):
            # As in a request for tokens, and as the manifest quotes a response
            for form in {quote_plus(secret, errors="replace"), repr(secret)[1:-1]} - {secret}:
                add_to_secrets(form)


def main() -> None:
    """Run as a process of its own."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # a C library without this setting
        # Two memory arenas for all threads: with one for each, a fifth of the memory is never used.
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
    output = take_over_stdout()
    code: object = 0
    try:
        run()
    except SystemExit as stop:
        code = stop.code
    output.end_process(code if isinstance(code, int) else 0)


def run(args: list[str] | None = None) -> None:
    """Execute one command of the Airbyte protocol: spec, check, discover or read.

    Args:
        args: The command line without the program's name; that of the process when left out.

    Raises:
        SystemExit: With 1 after an error, which is printed on stdout as an Airbyte message and on stderr as a
            sentence; with 2 after an invalid command line; with 141 when the reader of the output left.
    """
    args = sys.argv[1:] if args is None else args
    if not args or args[0] in ("-h", "--help"):
        print(HELP.read_text("utf-8"), end="")
        return
    parsed = Entrypoint.parse_args(args)
    try:
        tempfile.gettempdir()  # fails early where none is writable
        for message in Entrypoint(_source(parsed)).run(parsed):
            print(f"{message}\n", end="")
    except Exception as failure:  # noqa: BLE001 - any error: a person gets a sentence, the platform a trace
        _report(assemble_uncaught_exception(type(failure), failure), parsed.command)
        sys.exit(1)


def _source(parsed: argparse.Namespace) -> SourceConfluence:
    """Build the source from the files that the command line names."""
    path = getattr(parsed, "config", None)
    given = read_file("configuration", path, read_json)
    if path and not isinstance(given, dict):
        raise error("not_an_object", path=path, hint=say("configuration"))
    catalog = read_file("catalog", getattr(parsed, "catalog", None), SourceConfluence.read_catalog)
    state = read_file("state", getattr(parsed, "state", None), SourceConfluence.read_state)
    names = {"spec": [], "check": SPACES}.get(parsed.command)
    source = SourceConfluence(catalog, given, state, path, names=names)
    if path:  # before the CDK does: its message quotes values, which may be secrets
        validate(source.resolved_manifest["spec"]["connection_specification"], source._config)  # noqa: SLF001 - as normalized
    return source


def _report(failure: AirbyteTracedException, command: str) -> None:
    """Print an error for the platform on stdout and for a person on stderr."""
    if not isinstance(failure, SaidError):
        failure.message = reason(failure.message or str(failure))
    failure.internal_message = (failure.internal_message or "").rpartition(PLACE)[2]
    status = failure.as_connection_status_message() if command == "check" else None
    for message in filter(None, [failure.as_sanitized_airbyte_message(), status]):
        print(Entrypoint.airbyte_message_to_string(message))
    print(filter_secrets(f"source-confluence: {failure.message}"), file=sys.stderr)
