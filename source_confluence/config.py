"""Read and validate what the user hands in: a sentence for each error, without values, which may be secrets."""

import json
import logging
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast

from jsonschema import Draft7Validator, ValidationError
from jsonschema.exceptions import best_match

from source_confluence.messages import error

Read = TypeVar("Read")
KINDS = {"array": "a list", "boolean": "true or false", "integer": "a whole number", "string": "a text"}
# By the rule of JSON schema: what a value must be. {bound} is the rule's value, the other names are the schema's.
MUST_BE = {
    "pattern": "{name} must be {pattern_descriptor}.",
    "type": "{name} must be {kind}.",
    "enum": "{name} must be one of: {bound}.",
    "minimum": "{name} must be between {minimum} and {maximum}.",
    "maximum": "{name} must be between {minimum} and {maximum}.",
    "minLength": "{name} must not be empty.",
}
HINTS = {
    "configuration": "`source-confluence --help` shows one.",
    "catalog": "`source-confluence --help` shows one. `discover` prints the streams that it can name.",
    "state": "Use the state that the last sync printed, or none.",
}


def validate(spec: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Validate a configuration to which the normalization rules of the spec have been applied.

    Raises:
        AirbyteTracedException: It does not match the spec. The CDK's own message would quote the value, which may
            be a secret, and show a regular expression.
    """
    _compare_names(config, spec["properties"])
    ways = spec["properties"]["credentials"]["oneOf"]
    ways_by_type = {way["properties"]["auth_type"]["const"]: way for way in ways}
    match config.get("credentials"):
        case None:
            missing = [field for field in ("email", "api_token") if field not in config]
            if missing:
                other = " It needs credentials, or else email and api_token."
                raise error(f"The configuration lacks {' and '.join(missing)}.{other}")
        case {"auth_type": auth_type} if auth_type not in list(ways_by_type):
            raise error(f"credentials.auth_type must be one of: {', '.join(ways_by_type)}.")
        case {"auth_type": auth_type}:
            # Validate only the chosen way, so that the sentence is about that one.
            spec = {**spec, "properties": {**spec["properties"], "credentials": ways_by_type[auth_type]}}
        case {}:
            raise error("credentials lacks auth_type, which says the way to sign in.")
    problem = best_match(Draft7Validator(spec).iter_errors(config))
    if problem is not None:
        raise error(_sentence(problem))
    _, _, why = str(config.get("_auth_type")).partition("none: ")
    if why:  # as the normalization rules say
        raise error(
            f"{why}, so this credential is not sent. Correct domain_name, or use an API token without scopes."
        )


def _compare_names(config: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse a misspelt name: a filter that is ignored reads the whole site. Report other unknown names."""
    for name in sorted(config.keys() - known.keys()):
        if name.startswith("_"):  # added by the normalization rules or by the platform
            continue
        if near := get_close_matches(name.lower(), known, 1):
            raise error(f"There is no setting {name}. Did you mean {near[0]}? Correct or remove it.")
        logging.getLogger("airbyte").warning("There is no setting %s; it is ignored.", name)


def _sentence(problem: ValidationError) -> str:
    """Say what a value in the configuration must be, without quoting it."""
    name = ".".join(str(part) for part in problem.absolute_path) or "The configuration"
    rule, bound, schema = problem.validator, cast("Any", problem.validator_value), cast("Any", problem.schema)
    if rule == "required":
        missing = next(key for key in bound if key not in cast("Any", problem.instance))
        return f"{name} lacks {missing}. {schema['properties'][missing]['description']}"
    bound = ", ".join(map(str, bound)) if isinstance(bound, list) else bound
    unknown = "{name} does not fit the specification ({rule}: {bound})."
    kind = KINDS.get(bound, "an object") if rule == "type" else ""
    values = {**schema, "name": name, "rule": rule, "bound": bound, "kind": kind}
    return MUST_BE.get(str(rule), unknown).format_map(values)


def read_file(what: str, path: str | None, read: Callable[[str], Read]) -> Read | None:
    """Return the content of a file, or None where no file is named."""
    if path is None:
        return None
    try:
        json.loads(Path(path).read_text(encoding="utf-8"))
        return read(path)
    except OSError as failure:
        said = f"The {what} file {path} cannot be read: {failure.strerror}."
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as failure:
        said = f"The {what} file {path} does not contain valid JSON: {failure}."
    except Exception as failure:
        said = f"The {what} in {path} does not follow the Airbyte protocol."
        raise error(f"{said} {HINTS[what]}", str(failure)) from failure
    raise error(f"{said} {HINTS[what]}")
