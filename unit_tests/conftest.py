"""What all tests share: an embedded site, and fixtures that apply to every test."""

from __future__ import annotations

import ast
import gc
import io
import logging
import pickle
import sys
import threading
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airbyte_cdk.sources.declarative import concurrent_declarative_source, yaml_declarative_source
from airbyte_cdk.sources.declarative.interpolation import jinja
from airbyte_cdk.sources.utils import files_directory
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from fake_confluence import Server, company
from unit_tests import postgres as postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unit_tests.postgres import Postgres


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make faults`, and one for more random sequences."""
    parser.addoption("--all-faults", action="store_true", help="try every fault, and write docs/promises.md")
    parser.addoption("--sequences", type=int, help="how many sequences test_sequences.py plays")


@pytest.fixture(autouse=True, scope="session")
def parsed_once() -> Iterator[None]:
    """Parse each YAML text once per process: parsing takes most of the time of a small read."""
    parse = safe_load_yaml
    copies = cache(lambda text: pickle.dumps(parse(text)))

    def load_copy(stream: Any) -> Any:
        return pickle.loads(copies(stream if isinstance(stream, (str, bytes)) else stream.read()))  # noqa: S301 - our own

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_declarative_source, "safe_load_yaml", load_copy)
        patch.setattr(concurrent_declarative_source, "safe_load_yaml", load_copy)
        yield


@pytest.fixture(autouse=True, scope="session")
def one_parser_at_a_time() -> Iterator[None]:
    """Avoid a fault of older Pythons, which fail when two threads parse at once: cpython issue 106905."""
    lock = threading.Lock()

    def literal_eval(text: Any) -> Any:
        with lock:
            return ast.literal_eval(text)

    with pytest.MonkeyPatch.context() as patch:
        if sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2):
            patch.setattr(jinja, "ast", SimpleNamespace(literal_eval=literal_eval))
        yield


@pytest.fixture(autouse=True, scope="session")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Store files in a temporary directory, also if the connector runs as a process."""
    directory = str(tmp_path_factory.mktemp("files"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRBYTE_STAGING_DIRECTORY", directory)
        patch.setattr(files_directory, "AIRBYTE_STAGING_DIRECTORY", directory)
        yield


@pytest.fixture(scope="module")
def log() -> Iterator[io.StringIO]:
    """Collect what the connector logs."""
    written = io.StringIO()
    handlers = [h for h in logging.getLogger().handlers if type(h) is logging.StreamHandler]
    assert handlers, "the CDK no longer has a handler on the root logger"
    before = [handler.setStream(written) for handler in handlers]
    yield written
    for handler, stream in zip(handlers, before, strict=True):
        handler.setStream(stream or handler.stream)


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve the small company, a new one for each test."""
    with Server(company(small=True)) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL server."""
    with postgres_server.running() as running:
        yield running


# These files take the longest and start first: one that starts last runs alone.
FIRST = (
    "test_parts.py",
    "test_runners.py",
    "test_databases.py",
    "test_standard.py",
    "test_release.py",
    "test_engines.py",
    "test_demo.py",
    "test_spaces.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


def pytest_collection_finish() -> None:
    """Let garbage collections skip what was imported and collected."""
    gc.freeze()
