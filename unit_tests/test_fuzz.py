"""Malformed configurations, catalogs and states: each is accepted or refused with a clear message."""

from __future__ import annotations

import copy
import json
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from airbyte_cdk.utils import AirbyteTracedException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.connector import LOGGER, VAGUE, Output, config_for, configured, run_args
from fake_confluence import Server, generate
from source_confluence.config import validate
from source_confluence.source import SourceConfluence
from unit_tests.few_streams import few_streams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airbyte_cdk.models import ConnectorSpecification

SECRET = "the-secret"
GROUP = {"spaceId": ["1000", "1001"], "parent_slice": {}}
STATE = {
    "use_global_cursor": False,
    "states": [{"partition": GROUP, "cursor": {"updatedAt": "2026-01-01T00:00:00.000Z"}}],
    "state": {"updatedAt": "2026-01-01T00:00:00.000Z"},
    "lookback_window": 1,
    "parent_state": {},
}
STATES = [{"type": "STREAM", "stream": {"stream_descriptor": {"name": "pages"}, "stream_state": STATE}}]
CATALOG = {"streams": [configured("pages", incremental=True), configured("space")]}
CONFIG = {
    "domain_name": "example.atlassian.net",
    "credentials": {
        "auth_type": "oauth2.0",
        "client_id": "an-app",
        "client_secret": SECRET,
        "refresh_token": SECRET,
        "cloud_id": "a-1",
    },
    "email": "someone@example.com",
    "api_token": SECRET,
    "space_keys": ["ENG"],
    "exclude_space_keys": ["HR"],
    "custom_content_types": ["ac:app:type"],
    "body_format": "storage",
    "rendered_format": "view",
    "version_bodies": True,
    "start_date": "2024-01-31T00:00:00Z",
    "page_size": 100,
    "num_workers": 4,
}
DEEP: Any = json.loads("[" * 60 + "]" * 60)
JUNK = st.one_of(
    st.sampled_from([None, True, -1, 10**30, 1e300, "", "\0", "\ud800", "{{ config }}", [], {}, DEEP]).map(
        copy.deepcopy
    ),
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda part: st.lists(part, max_size=2) | st.dictionaries(st.text(max_size=5), part, max_size=2),
        max_leaves=5,
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every part of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in places(part, (*path, key)))]


@st.composite
def malformed(draw: st.DrawFn, valid: Any, junk: st.SearchStrategy[Any] = JUNK) -> Any:
    """Make a malformed value from a valid one: remove a part, replace it with junk, or add junk."""
    made = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 2))):
        *way, last = draw(st.sampled_from(places(made)[1:] or [("",)]))
        part = made
        for key in way:
            part = part[key]
        how = draw(st.sampled_from(["drop", "replace", "add"]))
        if how == "drop" and last in (part if isinstance(part, dict) else range(len(part))):
            del part[last]
        elif how == "add" and isinstance(part, dict):
            part[draw(st.text(max_size=5))] = draw(junk)
        elif last != "":
            part[last] = draw(junk)
    return made


def bounded(examples: int) -> settings:
    slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=slow)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(generate(pages=6, spaces=2, body_bytes=20), token=SECRET) as running:
        yield running


def ran(command: str, **files: Any) -> Output:
    """Run a command with files of any content, and check what is true of every run."""
    with TemporaryDirectory() as directory:
        args = [command]
        for name, content in files.items():
            args += [f"--{name}", f"{directory}/{name}.json"]
            with open(args[-1], "wb") as file:  # noqa: PTH123 - pathlib would add nothing here
                file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
        output = run_args(args)
    assert output.other == []
    assert SECRET not in "\n".join([json.dumps(output.messages), output.stderr])
    assert (output.exit_code != 0) == bool(output.errors)
    for text in [*output.errors, output.stderr]:
        assert not any(vague in text for vague in VAGUE), text
    assert output.stderr.count("\n") == output.exit_code
    return output


@pytest.fixture(scope="module")
def spec() -> ConnectorSpecification:
    return SourceConfluence().spec(LOGGER)


@bounded(300)
@given(config=malformed(CONFIG, JUNK | st.just(SECRET)))
def test_a_malformed_configuration_is_accepted_or_refused_with_a_reason(
    spec: ConnectorSpecification, config: Any
) -> None:
    message = ""
    try:
        validate(spec.connectionSpecification, config)
    except AirbyteTracedException as error:
        message = str(error)
    assert SECRET not in message
    assert message == "" or message.endswith(".")
    assert "\n" not in message


@bounded(12)
@given(config=malformed(CONFIG, JUNK | st.just(SECRET)))
def test_discover_accepts_or_refuses_a_malformed_configuration(config: Any) -> None:
    with few_streams("pages"):
        ran("discover", config=config)


@bounded(60)
@given(state=malformed(STATES))
def test_a_read_accepts_or_refuses_a_malformed_state(server: Server, state: Any) -> None:
    with few_streams("pages"):
        output = ran("read", config=config_for(server), catalog=CATALOG, state=state)
    assert output.exit_code == 0 or "state" in output.stderr


@bounded(40)
@given(catalog=malformed(CATALOG))
def test_a_read_accepts_or_refuses_a_malformed_catalog(server: Server, catalog: Any) -> None:
    with few_streams("pages"):
        output = ran("read", config=config_for(server), catalog=catalog)
    if output.exit_code:
        assert "catalog" in output.stderr or "no such stream" in output.stderr


@pytest.mark.parametrize(
    "part", [*places(STATE)[1:], ()], ids=lambda part: ".".join(map(str, part)) or "the whole"
)
@pytest.mark.parametrize(
    "junk",
    [
        None,
        "soon",
        5,
        [],
        [None],
        {"updatedAt": None},
        "2999-12-31T23:59:59.999Z",
        "9999-12-31T23:59:59.999Z",
    ],
)
def test_an_error_about_a_malformed_state_names_the_stream(
    server: Server, part: tuple[Any, ...], junk: Any
) -> None:
    state: Any = copy.deepcopy(STATES)
    place = state[0]["stream"]
    for key in ("stream_state", *part)[:-1]:
        place = place[key]
    place[("stream_state", *part)[-1]] = junk
    with few_streams("pages"):
        output = ran("read", config=config_for(server), catalog=CATALOG, state=state)
    if output.exit_code:
        assert "The saved state of pages was not written by this connector" in output.stderr or not part
        assert not output.records["pages"]
    else:
        assert len(output.records["space"]) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b"NaN",
        b"null",
    ],
    ids=["empty", "NUL", "not UTF-8", "BOM", "deep", "deeper", "a huge number", "NaN", "null"],
)
@pytest.mark.parametrize("name", ["config", "catalog", "state"])
def test_the_error_for_an_invalid_file_names_it(server: Server, name: str, content: bytes) -> None:
    files: dict[str, Any] = {"config": config_for(server), "catalog": CATALOG, "state": STATES}
    with few_streams("pages"):
        output = ran("read", **{**files, name: content})
    if name == "state" and content.endswith((b"null", b"\xbf{}")):
        assert output.exit_code == 0  # null or nothing means that there is no state
        return
    assert output.exit_code == 1
    assert {"config": "configuration"}.get(name, name) in output.stderr
    assert not output.records
