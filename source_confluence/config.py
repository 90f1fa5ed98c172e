"""Read and validate what the user hands in: a sentence for each error, without values, which may be secrets."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from airbyte_cdk.utils import AirbyteTracedException
from jsonschema import Draft7Validator, ValidationError
from jsonschema.exceptions import best_match

from source_confluence.messages import MESSAGES, error, say

Read = TypeVar("Read")


def validate(spec: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Validate a configuration to which the normalization rules of the spec have been applied.

    Raises:
        AirbyteTracedException: It does not match the spec. The CDK's own message would quote the value, which may
            be a secret, and show a regular expression.
    """
    ways = spec["properties"]["credentials"]["oneOf"]
    _compare_names(
        config, {*spec["properties"], *(f"credentials.{it}" for way in ways for it in way["properties"])}
    )
    _refuse_invisible({name: config.get(name) for name in spec["properties"]})
    ways_by_type = {way["properties"]["auth_type"]["const"]: way for way in ways}
    match config.get("credentials"):
        case None:
            missing = [field for field in ("email", "api_token") if field not in config]
            if missing:
                raise error("lacks_credentials", missing=" and ".join(missing))
        case {"auth_type": auth_type} if auth_type not in list(ways_by_type):
            raise error("enum", name="credentials.auth_type", bound=", ".join(ways_by_type))
        case {"auth_type": auth_type}:
            # Validate only the chosen way, so that the sentence is about that one.
            spec = {**spec, "properties": {**spec["properties"], "credentials": ways_by_type[auth_type]}}
        case {}:
            raise error("lacks_auth_type")
    problem = best_match(Draft7Validator(spec).iter_errors(config))
    if problem is not None:
        raise _invalid(problem)
    _, _, why = str(config.get("_auth_type")).partition("none: ")
    if why:  # as the normalization rules say
        raise error("not_sent", why=why)


def _compare_names(config: Mapping[str, Any], known: set[str]) -> None:
    """Refuse a misspelt or misplaced name: a filter that is ignored reads the whole site. Report other names."""
    nested = config.get("credentials")
    given = {*config, *(f"credentials.{it}" for it in (nested if isinstance(nested, dict) else ()))}
    for name in sorted(given - known):
        last = name.removeprefix("credentials.")
        if last.startswith("_"):  # added by the normalization rules or by the platform
            continue
        cutoff = 0.4 if re.search("(?<!work)space|exclu", last.lower()) else 0.6
        if near := get_close_matches(last.lower(), [it.rpartition(".")[2] for it in known], 1, cutoff):
            raise error("no_such_setting", name=name, near=near[0])
        logging.getLogger("airbyte").warning("There is no setting %s; it is ignored.", name)


def _refuse_invisible(config: Mapping[str, Any], within: str = "") -> None:
    """Refuse a text with a character that nobody sees, such as one that was copied from a web page with a token."""
    for name, value in config.items():
        if isinstance(value, dict):
            _refuse_invisible(value, f"{name}.")
        for text in value if isinstance(value, list) else [value]:
            if hidden := [each for each in text if not each.isprintable()] if isinstance(text, str) else []:
                raise error("invisible", name=within + name, character=f"U+{ord(hidden[0]):04X}")


def _invalid(problem: ValidationError) -> AirbyteTracedException:
    """Return the error that says what a value in the configuration must be, without quoting it."""
    name = ".".join(str(part) for part in problem.absolute_path) or "The configuration"
    rule, bound, schema = problem.validator, cast("Any", problem.validator_value), cast("Any", problem.schema)
    if rule == "required":
        missing = next(key for key in bound if key not in cast("Any", problem.instance))
        about = schema["properties"][missing]["description"]
        return error("lacks", name=name, missing=missing, description=about)
    bound = ", ".join(map(str, bound)) if isinstance(bound, list) else bound
    kind = say(bound if bound in MESSAGES["parts"] else "object") if rule == "type" else ""
    values = {**schema, "rule": rule, "bound": bound, "kind": kind, "name": name}
    return error(str(rule) if rule in MESSAGES["config"] else "other", **values)


def read_json(path: str, as_object: Callable[..., Any] = dict) -> Any:
    """Return the content of a JSON file: in UTF-8, also with a byte order mark, or in UTF-16 as Windows writes it."""
    content = Path(path).read_bytes() if Path(path).is_file() else _piped(path)
    return json.loads(content, object_pairs_hook=as_object)


@cache
def _piped(path: str) -> bytes:
    """Return the content of a pipe, which can be read once."""
    return Path(path).read_bytes()


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; of two filters with the same name, Python would keep the last."""
    if len(found := dict(pairs)) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(next(f"{name} is named twice" for name in names if names.count(name) > 1))
    return found


def read_file(what: str, path: str | None, read: Callable[[str], Read]) -> Read | None:
    """Return the content of a file, or None where no file is named."""
    if path is None:
        return None
    about = {"what": what, "path": path, "hint": say(what)}
    try:
        # Only here: the states of PyAirbyte name some fields twice.
        read_json(path, _named_once if what == "configuration" else dict)
    except OSError as failure:
        raise error("unreadable_file", said=failure.strerror, **about) from failure
    except UnicodeDecodeError as failure:
        raise error("not_utf8", failure, **about) from failure
    except (ValueError, RecursionError) as failure:
        raise error("not_json", said=failure, **about) from failure
    try:
        return read(path)
    except Exception as failure:
        raise error("not_the_protocol", failure, **about) from failure
