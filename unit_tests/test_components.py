"""Our components return what the CDK's components return, and do not change the CDK."""

from __future__ import annotations

import ast
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import trustme
from airbyte_cdk.sources.declarative.extractors.dpath_extractor import DpathExtractor
from airbyte_cdk.sources.declarative.interpolation import jinja
from airbyte_cdk.sources.declarative.interpolation.interpolated_string import InterpolatedString
from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation
from airbyte_cdk.sources.declarative.requesters.error_handlers.http_response_filter import HttpResponseFilter
from airbyte_cdk.sources.declarative.transformations import RemoveFields
from hypothesis import given, settings
from hypothesis import strategies as st
from requests import ReadTimeout
from urllib3.exceptions import HTTPError

from common.connector import ROOT
from source_confluence import source
from source_confluence.components import adapters, factory
from source_confluence.components.decoder import (
    OnceDecoder,
    OnceResponseFilter,
    PlainRemoveFields,
)
from source_confluence.components.interpolation import LeanInterpolation

RESPONSES = {
    "a list of results": b'{"results": [{"id": "1"}, {"id": "2"}], "_links": {"next": "/x"}}',
    "an object for results": b'{"results": {"id": "1"}}',
    "no results": b'{"other": [{"id": "1"}]}',
    "null for results": b'{"results": null}',
    "an empty list": b'{"results": []}',
    "an empty object": b'{"results": {}}',
    "a number": b'{"results": 7}',
    "a text": b'{"results": "text"}',
    "zero": b'{"results": 0}',
    "records that are not objects": b'{"results": [1, null, "x", [2], {}]}',
    "the same key further down": b'{"results": [{"results": [{"id": "1"}]}]}',
    "a list at the top": b'[{"results": [{"id": "1"}]}, {"results": [{"id": "2"}]}]',
    "lists at the top": b'[[{"id": "1"}], 3]',
    "nothing but an empty object": b"{}",
    "null": b"null",
    "a bare text": b'"results"',
    "no bytes": b"",
    "a response cut short": b'{"results": [{"id": "1"}',
    "a web page": b"<html></html>",
    "a number that JSON does not allow": b'{"results": [{"id": NaN}]}',
    "half a character": b'{"results": [{"id": "\\ud800"}]}',
    "invalid UTF-8": b'{"results": [{"id": "\xff"}]}',
    "a byte order mark": b'\xef\xbb\xbf{"results": [{"id": "1"}]}',
    "a key twice": b'{"results": [{"id": "1", "id": "2"}], "results": [{"id": "3"}]}',
    "a large number": b'{"results": [{"id": 123456789012345678901234567890}]}',
}
# Prints the names in other packages that are replaced when our package is imported or reads.
REPLACED = """
import sys
import airbyte_cdk.entrypoint, attributes_doc, requests, requests_cache, urllib3
from airbyte_cdk.sources.declarative import yaml_declarative_source

PACKAGES = {"airbyte_cdk", "attributes_doc", "requests", "requests_cache", "urllib3", "http", "socket", "dpath"}

def names():
    found = {}
    for module in [m for n, m in list(sys.modules.items()) if m and n.partition(".")[0] in PACKAGES]:
        for name, value in list(vars(module).items()):
            if callable(value):
                found[module.__name__, name] = value
            if isinstance(value, type):
                found |= {(module.__name__, name, k): v for k, v in list(vars(value).items()) if callable(v)}
    return found

before = names()
from fake_confluence import Server, company
from common.connector import config_for, connector
with Server(company(small=True)) as server:
    assert len(connector("read", config_for(server), select=["pages", "page_likes", "audit"]).records["pages"]) > 9
after = names()
before.pop(("urllib3.util.wait", "wait_for_socket"), None)  # urllib3 replaces it on first use
sys.stderr.write(repr(sorted(str(key) for key, value in before.items() if after.get(key) is not value)))
"""


def test_no_name_of_another_package_is_replaced() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", REPLACED], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stderr == "[]"


@pytest.mark.parametrize("condition", ["", "{{ property == 1 }}"])
@pytest.mark.parametrize("pointers", [[["a"], ["none"]], [["a", "b"]], [["*"]], [["a"], ["*", "b"]]], ids=str)
def test_fields_are_removed_as_by_the_cdk(pointers: list[list[str]], condition: str) -> None:
    ours, theirs = ({"a": {"b": 1}, "c": 1, "d": {"b": 2}} for _ in range(2))
    PlainRemoveFields(pointers, parameters={}, condition=condition).transform(ours)
    RemoveFields(pointers, parameters={}, condition=condition).transform(theirs)
    assert ours == theirs


@pytest.mark.parametrize(
    "body",
    [
        b
        for what, b in RESPONSES.items()
        if what not in ("a large number", "invalid UTF-8", "a byte order mark")
    ],
)
def test_predicates_get_the_same_response_as_in_the_cdk(body: bytes) -> None:
    assert repr(OnceResponseFilter._safe_response_json(response_of(body))) == repr(  # noqa: SLF001 - the value that predicates get
        HttpResponseFilter._safe_response_json(response_of(body))  # noqa: SLF001 - as above
    )


def test_transformations_do_not_change_the_paginators_response() -> None:
    response, decoder = response_of(RESPONSES["a list of results"]), OnceDecoder(parameters={})
    extractor = DpathExtractor(field_path=["results"], config={}, parameters={}, decoder=decoder)
    for record in extractor.extract_records(response):
        record.clear()
    assert list(decoder.decode(response)) == [json.loads(RESPONSES["a list of results"])]


LITERALS = st.one_of(
    st.text(st.sampled_from("0123456789.:T+-Ze_jxX'\"()[]{},# \nNone"), max_size=12),
    st.text(max_size=8),
    st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='milliseconds')}Z"),
    st.datetimes().map(str),
    st.times().map(str),
    st.sampled_from(["True", "False", "None", " True", "1T", "1-T", "0x1T", "1:2", "{1:2}", "1_000", "1e5"]),
)


@settings(max_examples=2_000, deadline=None)
@given(LITERALS, st.sampled_from([None, (str,), (int,), (bool,), (float,)]))
def test_a_literal_evaluates_as_in_the_cdk(text: str, types: Any) -> None:
    ours, theirs = (
        interpolation._literal_eval(text, types)  # noqa: SLF001 - the function under test
        for interpolation in (LeanInterpolation(), JinjaInterpolation())
    )
    assert (type(ours), repr(ours)) == (type(theirs), repr(theirs))


@pytest.mark.parametrize(
    "template",
    [
        "{{ record.id }} of {{ config['name'] }}",
        "{{ max(2, 3) }} {{ max([4, 5]) }}",
        "{{ duration('P1D').days }} {{ timestamp('2024-01-31T00:00:00Z') }}",
        "{% set record = {'id': 'shadow'} %}{{ record.id }}",
        "{% set box = namespace(n=1) %}{% for n in [1] %}{% set box.n = n + 1 %}{% endfor %}{{ box.n }}",
        "{% macro twice(x) %}{{ max(x, 2) }}{{ x }}{% endmacro %}{{ twice(1) }}",
        "{{ [1, 2] | map('string') | join(dict(a='-')['a']) }} {{ 'x' | hash('md5') }}",
        "{{ missing }}",
        "{{ record.missing }}",
        "no template",
        "",
    ],
)
def test_a_template_renders_as_in_the_cdk(template: str) -> None:
    def rendered(interpolation: JinjaInterpolation) -> Any:
        string = InterpolatedString(string=template, parameters={})
        string._interpolation = interpolation  # noqa: SLF001 - as our factory does
        try:
            return string.eval({"name": "ENG"}, record={"id": "7"})
        except ValueError as error:
            return str(error)

    assert rendered(LeanInterpolation()) == rendered(JinjaInterpolation())


def response_of(body: bytes) -> requests.Response:
    """Return a response with this body."""
    response = requests.Response()
    response.status_code, response._content = 200, body  # noqa: SLF001 - requests has no public way to make one
    return response


def taken(extractor: DpathExtractor, body: bytes) -> Any:
    """Return the records that an extractor returns, or the name of the exception that it raises."""
    try:
        return list(extractor.extract_records(response_of(body)))
    except Exception as error:  # noqa: BLE001 - any exception must be the same
        return type(error).__name__


def test_the_manifest_names_the_classes_that_the_package_replaces() -> None:
    head = source.MANIFEST.read_text(encoding="utf-8").partition("\nversion:")[0]
    (named,) = re.findall(r"in the place of these classes \(components/factory.py\): ([^.]+)\.", head)
    assert re.findall(r"\w+", named) == sorted(each.__name__ for each in (*factory.OURS, *factory.FAST))


def test_an_error_of_python_when_two_threads_parse_at_once_fails_no_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised = iter([SystemError("AST constructor recursion depth mismatch (before=96, after=105)")])

    def at_first(text: str) -> Any:
        for error in raised:
            raise error
        return ast.literal_eval(text)

    monkeypatch.setattr(jinja, "ast", SimpleNamespace(literal_eval=at_first))
    assert LeanInterpolation().eval("{{ record['id'] }}", {}, record={"id": 5}) == 5


@pytest.mark.parametrize("failure", [OSError, RuntimeError, ValueError])
def test_a_response_that_ends_at_its_deadline_does_not_keep_the_next_one_open(
    failure: type[Exception],
) -> None:
    def has_just_ended() -> None:
        raise failure

    ended = threading.Event()
    first: Any = SimpleNamespace(raw=SimpleNamespace(shutdown=has_just_ended))
    second: Any = SimpleNamespace(raw=SimpleNamespace(shutdown=ended.set))
    with pytest.raises(ReadTimeout), adapters.deadline(first, 0), adapters.deadline(second, 0):
        assert ended.wait(600)


def test_over_tls_a_body_that_is_closed_at_its_deadline_is_not_whole() -> None:
    """Python hands out what is left of it without decrypting it."""
    body = bytes(120_000)
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with (
        TemporaryDirectory() as directory,
        socket.create_server(("127.0.0.1", 0)) as listening,
        requests.Session() as session,
    ):

        def serve() -> None:
            with context.wrap_socket(listening.accept()[0], server_side=True) as client:
                client.recv(65_536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 120000\r\n\r\n" + body)

        threading.Thread(target=serve, daemon=True).start()
        authority.cert_pem.write_to_path(trusted := f"{directory}/trusted.pem")
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        response: Any = session.get(url, stream=True, verify=trusted, timeout=60)
        first, closed = response.raw.read(80_000), threading.Event()

        def shutdown(close: Any = response.raw.shutdown) -> None:
            close()
            closed.set()

        response.raw.shutdown = shutdown

        def read_on() -> None:
            with adapters.deadline(response, 0):
                assert closed.wait(60)
                with suppress(OSError, HTTPError):  # where not all of it has arrived
                    assert first + response.raw.read() != body

        with pytest.raises(ReadTimeout):
            read_on()
