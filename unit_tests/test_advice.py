"""Each failure that people report has the sentence that fits: what happened, what to do, and the words of who refused.

A row for each failure, tried with a check and with a read in turns, and with each way to sign in that can meet it. A
new report is a new row.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airbyte_cdk.sources.streams.http import rate_limiting

from common.connector import config_for, configured, connector, run_args
from common.files import options
from fake_confluence import Server, company
from unit_tests.credentials import WAYS, Config
from unit_tests.few_streams import few_streams
from unit_tests.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFLUENCE, TOKENS = "/wiki/", "/oauth/token"
ALL, OF_THE_SITE, SOME = tuple(WAYS), ("api_token",), ("api_token", "oauth2.0")
WITH_TOKENS = ("oauth2.0", "service_account")
HTML = {"Content-Type": "text/html"}
ADDRESS = "The IP address has been rejected because it is not on the allowed list. See your admin for more information"


def page(title: str) -> bytes:
    return f"<!doctype html><html><head><title>{title}</title></head><body><p>Hello</body></html>".encode()


def as_json(**body: Any) -> bytes:
    return json.dumps(body).encode()


@dataclass(frozen=True)
class Failure:
    """What a person meets.

    Attributes:
        says: What the sentence contains.
        never: What it does not contain.
        fault: What the site responds to every request; see `Server.fail`.
        at: The requests that it responds so to.
        variable: Where the proxy is set.
        proxy: The address of HTTPS_PROXY, or what is wrong with the proxy there; see `Proxy`.
        bundle: The path of REQUESTS_CA_BUNDLE, or "ours" for the file of the proxy's authority.
        more: More settings.
        ways: The ways to sign in that can meet it. A proxy does not look at them: one without and one with a token.
        stream: The stream to read.
    """

    says: tuple[str, ...]
    never: tuple[str, ...] = ()
    fault: dict[str, Any] = field(default_factory=dict)
    at: str = CONFLUENCE
    proxy: str = ""
    variable: str = "HTTPS_PROXY"
    bundle: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    ways: tuple[str, ...] = ()
    stream: str = "group"
    commands: tuple[str, ...] = ("check", "read")


FAILURES = {
    # ------------------------------------------------------------------ Confluence refuses
    "an address that is not allowed": Failure(
        ("IP allowlist", "administrator", f"Confluence says: {ADDRESS}."),
        ("permission", "deselect", "cloud_id"),
        {"status": 403, "body": as_json(errorMessages=[ADDRESS + "."], errors={})},
        stream="audit",
    ),
    "a CAPTCHA, 403": Failure(
        ("CAPTCHA", "browser", "AUTHENTICATION_DENIED"),
        ("permission", "nothing more"),
        {"status": 403, "headers": {"X-Seraph-LoginReason": "AUTHENTICATION_DENIED"}},
    ),
    "a CAPTCHA, 401": Failure(
        ("CAPTCHA", "browser"),
        ("cloud_id",),
        {
            "status": 401,
            "body": page("401"),
            "headers": {**HTML, "X-Seraph-LoginReason": "AUTHENTICATION_DENIED"},
        },
    ),
    "no basic authentication": Failure(
        (
            "another kind of credential",
            "Confluence says: Basic Authentication has been disabled on this instance.",
        ),
        ("permission",),
        {"status": 403, "body": as_json(message="Basic Authentication has been disabled on this instance.")},
        ways=("api_token", "scoped_api_token"),
    ),
    "a password for a token": Failure(
        ("password", "API token", "Basic authentication with passwords is deprecated"),
        ("cloud_id",),
        {"status": 401, "body": b"Basic authentication with passwords is deprecated."},
        ways=OF_THE_SITE,
    ),
    "a credential that cannot be parsed": Failure(
        ("email and api_token", "Confluence says: Failed to parse Connect Session Auth Token."),
        ("permission", "cloud_id"),
        {"status": 403, "body": as_json(error="Failed to parse Connect Session Auth Token")},
    ),
    "a site that is gone": Failure(
        ("web page", "domain_name", "Your site is currently unavailable."),
        ("credential", "nothing more"),
        {"status": 404, "body": page("Your site is currently unavailable."), "headers": HTML},
    ),
    "a login page": Failure(
        ("web page", "login page", "Sign in &"),
        fault={"status": 200, "body": page("\n Sign in &amp; continue"), "headers": HTML},
    ),
    "a page that says that the network forbids it": Failure(
        ("web page", "proxy", "Blocked by policy"),
        ("permission",),
        {"status": 403, "body": page("Blocked by policy"), "headers": HTML},
    ),
    "an unknown refusal": Failure(
        ("permission", '{"reason": ["unknown"]}'),
        fault={"status": 403, "body": as_json(reason=["unknown"])},
    ),
    "a busy database": Failure(
        ("request rate", "num_workers", "Too many requests to database"),
        ("report",),
        {"status": 400, "body": as_json(statusCode=400, message="Too many requests to database")},
    ),
    "a busy database, v2": Failure(
        ("request rate", "num_workers", "Too many requests to database"),
        ("report",),
        {"status": 400, "body": as_json(errors=[{"status": 400, "title": "Too many requests to database"}])},
    ),
    "a list that fails": Failure(
        ("5xx", "lower page_size"), ("version_bodies", "body_format"), {"status": 500, "body": b"{}"}
    ),
    "bodies of versions that fail": Failure(
        ("version_bodies to false",), ("storage",), {"status": 500}, more={"version_bodies": True}
    ),
    "bodies that fail": Failure(
        ("body_format to storage",),
        ("version_bodies",),
        {"status": 500},
        more={"body_format": "atlas_doc_format"},
    ),
    "a redirect to itself": Failure(
        ("redirects to itself", "domain_name"), fault={"how": "redirect", "headers": {"Location": "/wiki/x"}}
    ),
    # ------------------------------------------------------------------ Atlassian gives no token
    "a web page of the token endpoint": Failure(
        ("no access token (200)", "login page", "Sign in"),
        fault={"status": 200, "body": page("Sign in"), "headers": HTML},
        at=TOKENS,
        ways=WITH_TOKENS,
    ),
    "a refusal of the token endpoint": Failure(
        ("no access token (403)", "Blocked"),
        ("refresh token",),
        {"status": 403, "body": page("Blocked"), "headers": HTML},
        at=TOKENS,
        ways=WITH_TOKENS,
    ),
    "a token endpoint that returns something else": Failure(
        ("no access token (200)", "nothing more"),
        fault={"status": 200, "body": b"{}"},
        at=TOKENS,
        ways=WITH_TOKENS,
    ),
    "a token endpoint that is down": Failure(
        ("no access token (503)", "down"), fault={"status": 503, "body": b"down"}, at=TOKENS, ways=WITH_TOKENS
    ),
    # ------------------------------------------------------------------ the network
    "a proxy that inspects TLS": Failure(
        ("authority", "REQUESTS_CA_BUNDLE", "unable to get local issuer certificate"),
        ("domain_name",),
        proxy="inspects",
    ),
    "a proxy with a password": Failure(
        ("HTTPS_PROXY", "http://user:password@127.0.0.1:", "407 Proxy Authentication Required"),
        ("domain_name", "secret-of-the-proxy"),
        proxy="407 Proxy Authentication Required",
    ),
    "a proxy that forbids the host": Failure(
        ("administrators", "127.0.0.1:", "403 Forbidden"), ("permission",), proxy="403 Forbidden"
    ),
    "a proxy that is down": Failure(
        ("proxy 127.0.0.1:1 ", "HTTPS_PROXY", "Connection refused"),
        ("domain_name",),
        proxy="http://secret:secret-of-the-proxy@127.0.0.1:1",
    ),
    "a proxy for all protocols": Failure(
        ("proxy 127.0.0.1:1 ", "ALL_PROXY", "Connection refused"),
        ("domain_name", "HTTPS_PROXY"),
        proxy="http://secret:secret-of-the-proxy@127.0.0.1:1",
        variable="ALL_PROXY",
    ),
    "a proxy that nobody knows": Failure(
        ("proxy.invalid:3128", "HTTPS_PROXY", "not known"),
        ("domain_name",),
        proxy="http://proxy.invalid:3128",
    ),
    "a certificate that has expired": Failure(
        ("not valid", "clock", "certificate has expired"),
        ("authority",),
        proxy="expired",
        bundle="ours",
    ),
    "a certificate for another host": Failure(
        ("not valid", "domain_name", "Hostname mismatch"),
        ("authority",),
        proxy="another host",
        bundle="ours",
    ),
    "no TLS behind the proxy": Failure(
        ("No secure connection", "HTTPS_PROXY", "The system says: "), proxy="plain", bundle="ours"
    ),
    "https:// for the proxy": Failure(
        ("HTTPS_PROXY", "http://127.0.0.1:"), ("domain_name",), proxy="https://"
    ),
    "a proxy of another kind": Failure(("HTTPS_PROXY", "http://"), proxy="socks5://127.0.0.1:1"),
    "no proxy in its setting": Failure(("HTTPS_PROXY", "http://"), proxy="http://"),
    "no file of certificates": Failure(
        ("/nowhere/authority.pem", "does not exist", "REQUESTS_CA_BUNDLE"),
        proxy="inspects",
        bundle="/nowhere/authority.pem",
    ),
    # ------------------------------------------------------------------ the configuration
    "an invisible character": Failure(
        ("api_token", "invisible", "U+200B"), more={"api_token": "se\u200bcret"}, ways=("api_token",)
    ),
}


def in_turns(commands: tuple[str, ...], ways: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield each command and each way at least once."""
    pairs = zip(itertools.cycle(commands), itertools.cycle(ways), strict=False)
    return itertools.islice(pairs, max(len(commands), len(ways)))


ROWS = [
    pytest.param(command, way, failure, id=f"{name}-{command}-{way}")
    for name, failure in FAILURES.items()
    for command, way in in_turns(failure.commands, failure.ways or (SOME if failure.proxy else ALL))
]


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    with Server(company(small=True)) as running:
        yield running


@pytest.fixture
def server(site: Server) -> Iterator[Server]:
    yield site
    site.heal()
    site.log.clear()


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait in no retry, and know no proxy and no certificates of this machine."""
    monkeypatch.setattr(rate_limiting, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def sentences(command: str, config: Config, stream: str) -> list[str]:
    """Return what a person reads after a command that fails."""
    with few_streams(stream):
        output = connector(command, config, select=[stream])
    assert output.other == []
    if command == "check":
        assert output.connection["status"] == "FAILED"
        return [output.connection["message"]]
    assert output.exit_code == 1
    assert not output.records
    return [output.stderr, *output.errors]


@pytest.mark.parametrize(("command", "way", "failure"), ROWS)
def test_the_sentence_fits(  # noqa: PLR0917 - three of them are the row
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, way: str, failure: Failure
) -> None:
    config = {**WAYS[way](server), "_max_retries": 1}
    for name, value in failure.more.items():
        holder = config["credentials"] if name in config["credentials"] else config
        holder[name] = value
    if failure.fault:
        server.fail(failure.at, times=None, **failure.fault)
    with Proxy(server.port, failure.proxy) as proxy:
        if failure.proxy:
            config["domain_name"] = "example.atlassian.net"
            ours = proxy.url.replace("//", "//me:secret-of-the-proxy@")
            given = {"https://": ours.replace("http", "https")}.get(failure.proxy, failure.proxy)
            monkeypatch.setenv(failure.variable, given if "://" in given else ours)
        if failure.bundle:
            ours = proxy.certificate(tmp_path)
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", ours if failure.bundle == "ours" else failure.bundle)
        said = sentences(command, config, failure.stream)
    for sentence in said:
        for words in failure.says:
            assert words in sentence
        for words in (
            *failure.never,
            "Traceback",
            "Error",
            "Exception",
            "Errno",
            "{'",
            "['",
            "..",
            "<",
            "None",
        ):
            assert words not in sentence
        assert re.search(r"[.]\s*$", sentence)


def test_a_busy_database_is_retried(server: Server) -> None:
    server.fail(
        "/wiki/rest/api/group", times=3, status=400, body=as_json(message="Too many requests", statusCode=400)
    )
    output = connector("read", config_for(server), select=["group"])
    assert (output.exit_code, output.statuses) == (0, {"group": "COMPLETE"})
    assert [request.status for request in server.requests_to("/wiki/rest/api/group")] == [400, 400, 400, 200]


def test_a_page_about_too_many_requests_is_read(server: Server) -> None:
    def about_limits(body: bytes) -> bytes:
        return as_json(**{**json.loads(body), "title": "Too many requests to database", "errors": None})

    server.fail("/wiki/api/v2/pages/{id}", times=None, body=about_limits)
    output = connector("read", config_for(server), select=["rendered_pages"])
    assert (output.exit_code, output.statuses) == (0, {"rendered_pages": "COMPLETE"})


@pytest.mark.parametrize("way", WAYS)
def test_a_read_succeeds_behind_a_proxy_that_inspects_tls(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    gateway = [] if way == "api_token" else ["api.atlassian.com"]
    tokens = ["auth.atlassian.com"] if way in WITH_TOKENS else []
    with Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", proxy.certificate(tmp_path))
        config = {**WAYS[way](server), "domain_name": "example.atlassian.net"}
        output = connector("read", config, select=["group", "pages"])
    assert (output.exit_code, output.errors) == (0, [])
    assert output.records["group"]
    assert output.records["pages"]
    assert set(proxy.asked) == {*(gateway or ["example.atlassian.net"]), *tokens}


# The files


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_files_are_read_in_the_encodings_of_editors_and_shells(
    server: Server, tmp_path: Path, encoding: str
) -> None:
    files = options(tmp_path, config=config_for(server), catalog={"streams": [configured("group")]}, state=[])
    for path in tmp_path.glob("*.json"):
        path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    output = run_args(["read", *files])
    assert (output.exit_code, output.stderr) == (0, "")
    assert output.records["group"]


@pytest.mark.parametrize("name", ["config", "catalog", "state"])
def test_a_file_in_another_encoding_is_refused(server: Server, tmp_path: Path, name: str) -> None:
    files = options(tmp_path, config=config_for(server), catalog={"streams": []}, state=[])
    (tmp_path / f"{name}.json").write_bytes('{"email": "zoë@example.com"}'.encode("latin-1"))
    output = run_args(["read", *files])
    assert output.exit_code == 1
    assert f"{name}.json is in an unknown encoding. Save it as UTF-8." in output.stderr
    assert output.errors == [output.stderr.removeprefix("source-confluence: ").strip()]


HIDDEN = ["\u200b{}\u200b", "\ufeff{}", "\u2060\u00a0{}\n", " \u200d{}"]


@pytest.mark.parametrize("around", HIDDEN, ids=ascii)
def test_invisible_characters_at_the_ends_are_removed(server: Server, around: str) -> None:
    given = {name: around.format(value) for name, value in config_for(server).items()}
    assert connector("read", given, select=["group"]).records["group"]


@pytest.mark.parametrize("character", ["\u200b", "\ufeff", "\u00a0", "\u202e", "\n", "\x00"], ids=ascii)
@pytest.mark.parametrize("name", ["email", "api_token", "cloud_id", "space_keys"])
def test_an_invisible_character_inside_is_named(server: Server, name: str, character: str) -> None:
    config = WAYS["scoped_api_token"](server)
    holder = config["credentials"] if name in config["credentials"] else config
    holder[name] = [f"EN{character}G"] if name == "space_keys" else f"ab{character}cd"
    connection = connector("check", config).connection
    assert connection["status"] == "FAILED"
    assert f"{name} contains an invisible character (U+{ord(character):04X})" in connection["message"]
    assert server.log == []
