"""Each field of the form, with values as people and tools write them: accepted as meant, or refused with a reason.

The cases are made from spec.yaml, so that they include each new field.
"""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import pytest
import yaml
from airbyte_cdk.sources.streams.http import rate_limiting

from common.connector import ROOT, VAGUE, Output, config_for, connector
from fake_confluence import Server, generate
from source_confluence import check, source
from source_confluence.source import MANIFEST, SourceConfluence
from unit_tests.credentials import WAYS
from unit_tests.few_streams import few_streams
from unit_tests.runners import Builder, manifest_server, records_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Config = dict[str, Any]
STREAMS = ["pages", "space"]
NEEDS_KEYS = ["space", "space_watchers", "content_templates", "tree_item_index", "content_restrictions"]
# A good value where neither the spec nor the configuration has one.
VALID: Config = {
    "space_keys": ["S0"],
    "exclude_space_keys": ["S1"],
    "exclude_space_kinds": ["archived"],
    "custom_content_types": ["ac:my-app:my-type"],
    "version_bodies": True,
    "access_token": "an-invalid-access-token",
    "token_expiry_date": "2999-01-01T00:00:00Z",
}
LEFT_OUT = object()
EMPTY: Config = {"left out": LEFT_OUT, "null": None, "an empty text": "", "blank": " \t"}
UNICODE = "ключ😀"


class Field(NamedTuple):
    """A field of the form, for one authentication method; `flat` is the form of older connections."""

    way: str
    path: tuple[str, ...]
    schema: Config
    required: bool

    def __str__(self) -> str:
        """Return the field's part of a test id."""
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
    """Return a valid configuration."""
    if way == "flat":
        return config_for(server)
    died = {"access_token": VALID["access_token"], "token_expiry_date": VALID["token_expiry_date"]}
    return WAYS[way](server, **(died if way == "oauth2.0" else {}))


def good_value(field: Field, config: Config) -> Any:
    """Return a good value of a field: from the configuration, the spec or VALID."""
    part: Any = config
    for name in field.path:
        part = part.get(name) if part is not None else None
    if part is not None:
        return part
    examples = [*field.schema.get("examples", []), field.schema.get("default")]
    return VALID.get(field.path[-1], examples[0])


def variants(field: Field, good: Any) -> Iterator[tuple[str, Any]]:
    kind = field.schema["type"]
    yield from EMPTY.items()
    yield "an object", {"a": 1}
    if kind == "array":
        yield from {"a text": ",".join(good), "no list": good[0], "too large": good * 300}.items()
        yield from {"an empty list": [], "unicode": [UNICODE], "blanks in it": [f" {good[0]}\n", ""]}.items()
    else:
        yield "a list", [good]
        yield "unicode", "\uff11\uff10" if kind == "integer" else UNICODE
    if kind == "string":
        yield from {"a newline at the end": f"{good}\n", "too large": "x" * 5000}.items()
    elif kind != "array":
        yield "a text", json.dumps(good)
    if kind == "integer":
        yield from {
            "too small": field.schema["minimum"] - 1,
            "too large": field.schema["maximum"] + 1,
            "a decimal": float(good),
        }.items()
        yield from {"not whole": good - 0.5, "an odd text": "0x10", "a boolean": True}.items()


FIELDS = list(fields())
CASES = [
    (field, kind)
    for field in FIELDS
    for kind, _ in variants(field, {"array": ["a"], "integer": 5}.get(field.schema["type"], "a"))
]
AS_IF_LEFT_OUT = {*EMPTY, "an empty list"}
AS_MEANT = {"a text", "no list", "a decimal", "blanks in it", "a newline at the end"}
BOTH = {"an object", "null"}  # kinds that both commands try
NEVER = {"an object", "a list", "too small", "too large", "not whole", "an odd text", "a boolean"}


def expected(field: Field, kind: str) -> str:
    """Return `left out`, `good` or `refused`; empty where accepting and refusing are both correct."""
    name, schema = field.path[-1], field.schema
    if name == "token_expiry_date":
        return "good"  # a token without a known expiry is renewed
    if kind in AS_IF_LEFT_OUT:
        return "refused" if field.required else "left out"
    if kind in AS_MEANT:
        return "refused" if name == "credentials" else "good"
    if kind == "too large" and not {"maximum", "const", "enum"} & schema.keys():
        return ""
    return "refused" if kind in NEVER else ""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(generate(pages=3, spaces=2, body_bytes=20)) as running:
        yield running


@pytest.fixture(autouse=True, scope="module")
def _quickly() -> Iterator[None]:
    """Avoid most of the time of a run: the check of all streams, and the waits of retries."""
    few = {"space": source.ACCESS["space"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "ACCESS", few)
        patch.setattr(source, "ACCESS", {name: source.ACCESS[name] for name in {*STREAMS, *NEEDS_KEYS}})
        patch.setattr(rate_limiting, "time", SimpleNamespace(sleep=lambda _: None))
        yield


def records(output: Output) -> list[str]:
    return in_order(record for name in output.records for record in output.records[name])


MEANT: dict[tuple[str, tuple[str, ...], str], list[str]] = {}


def meant(server: Server, field: Field, how: str) -> list[str]:
    """Return the records of a read with a good value of the field, or without the field."""
    key = (field.way, field.path, how)
    if key not in MEANT:
        config = configured(server, field.way)  # a new configuration: a refresh token works once
        if how == "left out":
            config = field.put(config, LEFT_OUT)
        elif field.way == "flat":
            config = field.put(config, good_value(field, config))
        MEANT[key] = records(run("read", config))
    return MEANT[key]


def run(command: str, config: Config) -> Output:
    with few_streams(*STREAMS):
        return connector(command, config, select=STREAMS)


def in_order(found: Iterable[Config]) -> list[str]:
    """Return records as sorted texts; a null equals a missing field."""
    present = [{name: value for name, value in record.items() if value is not None} for record in found]
    return sorted(json.dumps(record, sort_keys=True) for record in present)


# The commands validate the same configuration: a check shows what is refused, and a read what is accepted.
COMMANDS = [
    (command, field, kind)
    for field, kind in CASES
    for command in ("check", "read")
    if kind in BOTH or (command == "check") == (expected(field, kind) == "refused")
]


@pytest.mark.parametrize(("command", "field", "kind"), COMMANDS, ids=str)
def test_a_setting_is_accepted_as_meant_or_refused_with_a_reason(
    server: Server, command: str, field: Field, kind: str
) -> None:
    config = configured(server, field.way)
    good = good_value(field, config)
    server.log.clear()
    written = field.put(config, dict(variants(field, good))[kind])
    output = run(command, written)
    shown = [m for m in output.messages if m["type"] != "CONTROL"]
    assert_no_secret(written, json.dumps(shown, ensure_ascii=False) + output.stderr)
    failed = command == "check" and output.connection["status"] != "SUCCEEDED"
    if output.exit_code == 0 and not failed:
        assert expected(field, kind) != "refused"
        assert output.errors == []
        if command == "read" and expected(field, kind):
            assert records(output) == meant(server, field, expected(field, kind))
        return
    assert expected(field, kind) in {"", "refused"}, output.errors
    sentences = [output.connection["message"]] if command == "check" else [*set(output.errors), output.stderr]
    for sentence in sentences:
        # Confluence's own refusal does not name the field.
        assert field.path[-1] in sentence.replace("refresh token", "refresh_token") or (
            server.log and "credential" in sentence
        )
        assert sentence.strip().endswith(".")
        assert not any(vague in sentence for vague in VAGUE), sentence
        assert not any(python in sentence for python in ("NoneType", "codec", "unconverted", "out of range"))
    if not server.log:
        assert output.exit_code == 1
        assert len(set(output.errors)) == 1


def assert_no_secret(config: Config, shown: str) -> None:
    given = {**config, **(config["credentials"] if isinstance(config.get("credentials"), dict) else {})}
    names = ("api_token", "client_secret", "refresh_token", "access_token")
    for secret in (given.get(name) for name in names):
        if isinstance(secret, str) and secret.strip():
            assert secret.strip() not in shown


# Cases beyond those of the spec


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-01-01", "2024-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00.000Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00.1234567Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00+00:00", "2024-01-01T00:00:00Z"),
        ("2024-01-01T01:30:00+0200", "2023-12-31T23:30:00Z"),
        ("2024-01-01T00:00:00", "2024-01-01T00:00:00Z"),
        ("2024-01-01 06:15", "2024-01-01T06:15:00Z"),
        (" 2024-02-29T00:00:00Z\n", "2024-02-29T00:00:00Z"),
        ("2000-02-29", "2000-02-29T00:00:00Z"),
        ("2024-02-30", None),
        ("2023-02-29T00:00:00Z", None),
        ("1900-02-29", None),
        ("2024-04-31", None),
        ("2024-13-01", None),
        ("2024-01-01T24:00:00Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("1900-01-01T00:00:00+02:00", None),
        ("01/02/2024", None),
        ("yesterday", None),
        (1704067200, None),
    ],
)
def test_a_date_is_normalized_or_refused(server: Server, written: Any, meant: str | None) -> None:
    config = config_for(server, start_date=written)
    if meant:
        assert normal(config)["start_date"] == meant
    else:
        output = connector("read", config, select=STREAMS)
        assert output.exit_code == 1
        assert "start_date must be" in output.stderr


def normal(config: Config) -> Config:
    return dict(SourceConfluence(config=config, names=["space"])._config)  # noqa: SLF001 - where the CDK keeps it


def test_a_normalized_configuration_is_not_changed_again(server: Server) -> None:
    rules = SourceConfluence(names=["space"])._spec_component  # noqa: SLF001 - where the CDK keeps the manifest's rules
    assert rules
    for field in FIELDS:
        config = configured(server, field.way)
        for kind, value in variants(field, good_value(field, config)):
            once = field.put(config, value)
            rules.transform_config(once)
            twice = json.loads(json.dumps(once))
            rules.transform_config(twice)
            assert twice == once, (field, kind)


def test_one_worker_runs_as_two(server: Server) -> None:
    for written in (1, "1", 1.0):
        config = config_for(server, num_workers=written)
        assert normal(config)["num_workers"] == 2
        assert connector("read", config, select=STREAMS).exit_code == 0


@pytest.mark.parametrize("way", ["flat", *WAYS])
def test_a_trimmed_secret_is_not_shown(server: Server, way: str) -> None:
    config = configured(server, way)
    part = config.get("credentials", config)
    for name in {"email", "api_token", "client_secret", "refresh_token"} & part.keys():
        part[name] = f"  {part[name]}\n"

    def repeat(_body: bytes) -> bytes:
        sent = server.log[-1].headers["authorization"]
        return json.dumps({"message": f"Who is {sent} of {json.dumps(config)}?", "statusCode": 400}).encode()

    server.fail("/wiki/api/v2/spaces", times=None, status=400, body=repeat)
    output = connector("read", config, select=["space"])
    server.heal()
    assert output.exit_code == 1
    assert "Who is" in output.stderr
    sent = server.log[-1].headers["authorization"].split()[1]
    shown = json.dumps([m for m in output.messages if m["type"] != "CONTROL"]) + output.stderr
    assert sent not in shown
    assert_no_secret(config, shown)


@pytest.fixture
def old_site() -> Iterator[Server]:
    """Serve a site with an old personal space, and a space whose URL shows an alias instead of its key."""
    site = generate(pages=3, spaces=2, body_bytes=20)
    site.add_space("Jürgen", key=OLD_KEY)
    site.add_space("Documents", key="DOCUMENTS", currentActiveAlias="docs")
    with Server(site) as running:
        yield running


OLD_KEY = "~jürgen+o'neil b@example.com:1/2"


@pytest.mark.parametrize("keys", [[OLD_KEY], f" {OLD_KEY} ,\nDOCUMENTS", [OLD_KEY, "S0"]])
def test_any_space_key_is_escaped(old_site: Server, keys: Any) -> None:
    config = config_for(old_site, space_keys=keys)
    output = connector("read", config, select=NEEDS_KEYS)
    assert (output.exit_code, output.errors) == (0, [])
    wanted = [key.strip() for key in (keys.split(",") if isinstance(keys, str) else keys)]
    assert {record["key"] for record in output.records["space"]} == set(wanted)
    watched = [request for request in old_site.log if request.path.endswith("/watch")]
    assert {unquote(request.path.split("/")[-2]) for request in watched} == set(wanted)
    assert {request.status for request in watched} == {200}
    cqls = {request.values("cql")[0] for request in old_site.requests_to("/wiki/rest/api/search")}
    listed = [space["key"] for space in old_site.site.records("spaces") if space["key"] in wanted]
    quoted = ", ".join(f'"{key}"' for key in listed)
    assert all(f"space in ({quoted})" in cql for cql in cqls)
    assert len(cqls) == 4
    cqls = {request.values("cql")[0] for request in old_site.requests_to("/wiki/rest/api/content/search")}
    assert {key for cql in cqls for key in re.findall(r'"([^"]*)"', cql)} == set(wanted)


@pytest.mark.parametrize("name", ["space_keys", "exclude_space_keys"])
@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("NOSUCH", "has the key NOSUCH."),
        ("s0", "has the key s0 (write S0)."),
        ("docs", "has the key docs (write DOCUMENTS)."),
        ("Docs, S0, NOSUCH", "has the key Docs (write DOCUMENTS), NOSUCH."),
    ],
)
def test_check_and_read_suggest_the_right_space_key(
    old_site: Server, name: str, written: str, words: str
) -> None:
    config = config_for(old_site, **{name: written})
    assert words in connector("check", config).connection["message"]
    output = connector("read", config, select=["pages"])
    assert output.exit_code == 1
    assert output.records == {}
    assert words in output.stderr


def test_more_space_keys_than_fit_in_one_request_are_found(server: Server) -> None:
    many = config_for(server, space_keys=["S0"], exclude_space_keys=["S1"] * 250)
    assert connector("check", many).connection == {"status": "SUCCEEDED"}


@pytest.mark.parametrize(
    "domain_name", ["acme.atlassian-us-gov-mod.net", "https://ACME.atlassian-us-gov-mod.net:443/wiki/home"]
)
@pytest.mark.parametrize("way", ["scoped_api_token", "oauth2.0", "service_account"])
def test_government_cloud_has_its_own_gateway(server: Server, domain_name: str, way: str) -> None:
    made = normal({**configured(server, way), "domain_name": domain_name})
    assert made["_wiki"] == f"https://api.atlassian-us-gov-mod.com/ex/confluence/{server.cloud_id}/wiki"
    assert made["_token_url"] == "https://auth.atlassian-us-gov-mod.com/oauth/token"


@pytest.mark.parametrize(
    "domain_name", ["acme.atlassian-us-gov-high.net", "acme.atlassian.com", "atlassian.cn"]
)
@pytest.mark.parametrize("way", ["scoped_api_token", "oauth2.0", "service_account"])
def test_an_unknown_cloud_gets_no_secret(
    monkeypatch: pytest.MonkeyPatch, server: Server, domain_name: str, way: str
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    for command in ("check", "read"):
        output = connector(command, {**configured(server, way), "domain_name": domain_name}, select=STREAMS)
        assert output.exit_code == 1
        (sentence,) = output.errors
        assert "domain_name is not in a cloud of Atlassian" in sentence
        assert sentence.endswith(".")


# Every entry point


# Values for the Builder: its server validates the form against the spec before it normalizes the values.
IN_THE_FORM: Config = {
    "space_keys": [" S0", "S1\n"],
    "start_date": " 2020-01-01\n",
    "page_size": 2.0,
    "num_workers": 1,
}
AS_MEANT_BY_IT: Config = {
    "space_keys": ["S0", "S1"],
    "exclude_space_kinds": ["personal", "archived"],
    "start_date": "2020-01-01T00:00:00Z",
    "page_size": 2,
}


def with_blanks(server: Server) -> Config:
    clean = config_for(server)
    return {**clean, "email": f" {clean['email']}", "api_token": f"{clean['api_token']}\n"}


@pytest.fixture
def expected_records(server: Server) -> list[str]:
    found = records(connector("read", config_for(server, **AS_MEANT_BY_IT), select=STREAMS))
    assert len(found) == 5
    return found


def test_the_builder_accepts_the_same_values(server: Server, expected_records: list[str]) -> None:
    with manifest_server(ROOT / ".venv-builder" / "bin" / "python") as url:
        builder = Builder(url, {**with_blanks(server), **IN_THE_FORM})
        responses = [builder.test_read(name, builder.cut_down_to(name)) for name in STREAMS]
        assert builder.call("check", manifest=builder.manifest, config=builder.config)["success"] is True
    assert in_order(record for response in responses for record in records_of(response)) == expected_records
