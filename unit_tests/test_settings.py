"""Each field of the form, written as people and their tools write it: taken as it is meant, or refused in a sentence.

The matrix is made from spec.yaml, so that a new field is held too.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.streams.http import rate_limiting

from fake_confluence import Server, generate
from source_confluence import check, source
from source_confluence.source import MANIFEST, SourceConfluence
from unit_tests.conftest import Output, config_for, connector
from unit_tests.test_auth import WAYS
from unit_tests.test_fuzz import VAGUE

if TYPE_CHECKING:
    from collections.abc import Iterator

Config = dict[str, Any]
STREAMS = ["pages", "space"]
# A good value where the spec shows none, and none is configured.
VALID: Config = {
    "space_keys": ["S0"],
    "exclude_space_keys": ["S1"],
    "custom_content_types": ["ac:my-app:my-type"],
    "version_bodies": True,
    "access_token": "an-access-token-that-died",
    "token_expiry_date": "2999-01-01T00:00:00Z",
}
LEFT_OUT = object()
EMPTY: Config = {"left out": LEFT_OUT, "null": None, "an empty text": "", "blank": " \t"}
UNICODE = "ключ😀"


class Field(NamedTuple):
    """A field of the form in one of the ways to sign in; `flat` is the form of older connections."""

    way: str
    path: tuple[str, ...]
    schema: Config
    required: bool

    def __str__(self) -> str:
        """Name it in a test's id."""
        return f"{self.way}: {'.'.join(self.path)}"

    def put(self, config: Config, value: Any) -> Config:
        """Return a configuration with another value for the field."""
        config = json.loads(json.dumps(config))
        *parents, name = self.path
        part = config
        for parent in parents:
            part = part[parent]
        if value is LEFT_OUT:
            part.pop(name, None)
        else:
            part[name] = value
        return config


def fields() -> Iterator[Field]:
    spec = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["spec"]["connection_specification"]
    for name, schema in spec["properties"].items():
        if name == "credentials":
            yield Field("api_token", (name,), schema, required=True)
            for way in schema["oneOf"]:
                auth_type = way["properties"]["auth_type"]["const"]
                for nested, declared in way["properties"].items():
                    yield Field(auth_type, (name, nested), declared, nested in way["required"])
        else:
            yield Field("flat", (name,), schema, name in {*spec["required"], "email", "api_token"})


def configured(server: Server, way: str) -> Config:
    """Return a configuration that works."""
    if way == "flat":
        return config_for(server)
    died = {"access_token": VALID["access_token"], "token_expiry_date": VALID["token_expiry_date"]}
    return WAYS[way](server, **(died if way == "oauth2.0" else {}))


def good_value(field: Field, config: Config) -> Any:
    """Return a good value of a field: the configured one, or what the spec or VALID gives."""
    part: Any = config
    for name in field.path:
        part = part.get(name) if part is not None else None
    if part is not None:
        return part
    examples = [*field.schema.get("examples", []), field.schema.get("default")]
    return VALID.get(field.path[-1], examples[0])


def variants(field: Field, good: Any) -> Iterator[tuple[str, Any]]:
    kind, low, high = (field.schema.get(name) for name in ("type", "minimum", "maximum"))
    yield from EMPTY.items()
    yield "an object", {"a": 1}
    if kind == "array":
        yield from {"a text": ",".join(good), "no list": good[0], "too large": good * 300}.items()
        yield from {"an empty list": [], "unicode": [UNICODE], "blanks in it": [f" {good[0]}\n", ""]}.items()
    else:
        yield "a list", [good]
        yield "unicode", "１０" if kind == "integer" else UNICODE
    if kind == "string":
        yield from {"a newline at the end": f"{good}\n", "too large": "x" * 5000}.items()
    elif kind != "array":
        yield "a text", json.dumps(good)
    if kind == "integer":
        yield from {"too small": low - 1, "too large": high + 1, "a decimal": float(good)}.items()
        yield from {"not whole": good - 0.5, "an odd text": "0x10", "a boolean": True}.items()


FIELDS = list(fields())
KINDS = sorted(
    {
        name
        for field in FIELDS
        for name, _ in variants(field, {"array": ["a"], "integer": 5}.get(field.schema["type"], "a"))
    }
)
AS_IF_LEFT_OUT = {*EMPTY, "an empty list"}
AS_MEANT = {"a text", "no list", "a decimal", "blanks in it", "a newline at the end"}
NEVER = {"an object", "a list", "too small", "too large", "not whole", "an odd text", "a boolean"}


def expected(field: Field, kind: str) -> str:
    """Return `left out`, `good` or `refused`, or nothing where either answer is right."""
    name, schema = field.path[-1], field.schema
    if name == "token_expiry_date":
        return "good"  # a token whose end is not known is renewed
    if kind in AS_IF_LEFT_OUT:
        return "refused" if field.required else "left out"
    if kind in AS_MEANT:
        return "refused" if name == "credentials" else "good"
    if kind == "too large" and not {"maximum", "maxItems", "const", "enum"} & schema.keys():
        return ""
    return "refused" if kind in NEVER else ""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(generate(pages=3, spaces=2, body_bytes=20)) as running:
        yield running


@pytest.fixture(autouse=True, scope="module")
def _quickly() -> Iterator[None]:
    """Leave out what takes most of the time: to parse the manifest, and to check all streams."""
    manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    few = {"space": source.ACCESS["space"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SourceConfluence, "_read_and_parse_yaml_file", lambda *_: dict(manifest))
        patch.setattr(concurrent_declarative_source, "get_declarative_component_schema", dict)
        patch.setattr(check, "ACCESS", few)
        patch.setattr(source, "ACCESS", {**few, "pages": source.ACCESS["pages"]})
        patch.setattr(rate_limiting, "time", SimpleNamespace(sleep=lambda _: None))
        yield


def records(output: Output) -> list[str]:
    return sorted(json.dumps(record) for name in output.records for record in output.records[name])


@pytest.mark.parametrize("command", ["check", "read"])
@pytest.mark.parametrize("field", FIELDS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_setting_is_taken_as_meant_or_refused_in_a_sentence(
    server: Server, command: str, field: Field, kind: str
) -> None:
    config = configured(server, field.way)
    good = good_value(field, config)
    given = dict(variants(field, good))
    if kind not in given:
        return
    server.log.clear()
    written = field.put(config, given[kind])
    output = connector(command, written, select=STREAMS)
    shown = [m for m in output.messages if m["type"] != "CONTROL"]
    hold_secrets(written, json.dumps(shown, ensure_ascii=False) + output.stderr)
    failed = command == "check" and output.connection["status"] != "SUCCEEDED"
    if output.exit_code == 0 and not failed:
        assert expected(field, kind) != "refused"
        assert output.errors == []
        if command == "read" and expected(field, kind):
            meant = configured(server, field.way)  # anew: a refresh token works once
            if expected(field, kind) == "left out":
                meant = field.put(meant, LEFT_OUT)
            elif field.way == "flat":
                meant = field.put(meant, good)
            assert records(output) == records(connector("read", meant, select=STREAMS))
        return
    assert expected(field, kind) in {"", "refused"}, output.errors
    sentences = [output.connection["message"]] if command == "check" else [*set(output.errors), output.stderr]
    for sentence in sentences:
        # What Confluence refuses it does not name.
        assert field.path[-1] in sentence.replace("refresh token", "refresh_token") or (
            server.log and "credential" in sentence
        )
        assert sentence.strip().endswith(".")
        assert not any(vague in sentence for vague in VAGUE), sentence
        assert not any(python in sentence for python in ("NoneType", "codec", "unconverted", "out of range"))
    if not server.log:
        assert output.exit_code == 1
        assert len(set(output.errors)) == 1


def hold_secrets(config: Config, shown: str) -> None:
    given = {**config, **(config["credentials"] if isinstance(config.get("credentials"), dict) else {})}
    names = ("api_token", "client_secret", "refresh_token", "access_token")
    for secret in (given.get(name) for name in names):
        if isinstance(secret, str) and secret.strip():
            assert secret.strip() not in shown
