"""The names of the CDK that the package overrides or reaches for: another CDK may have renamed them, without a word."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from airbyte_cdk.sources.concurrent_source.concurrent_source import ConcurrentSource
from airbyte_cdk.sources.declarative.interpolation import InterpolatedString
from airbyte_cdk.sources.declarative.interpolation.interpolated_boolean import InterpolatedBoolean
from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.streams.http.http_client import HttpClient

import source_confluence

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(source_confluence.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
# The classes that have what the package reaches for in an object of the CDK.
ELSEWHERE = {
    "_compile": JinjaInterpolation,
    "_evaluate_node": ManifestReferenceResolver,
    "_http_client": HttpRequester,
    "_init_mappings": ModelToComponentFactory,
    "_interpolation": (InterpolatedString, InterpolatedBoolean),
    "_name": HttpClient,
    "_queue": ConcurrentSource,
    "_session": HttpClient,
    "_content": requests.Response,
}
# Names that are not the CDK's: of Python, and of a class of ours that another of our classes reaches for.
OURS = {
    "_value": "threading.Semaphore",
    "_exit": "os",
    "_config": "SourceConfluence",
}
OURS["_constructor"] = "a class of ours, which the tests of overrides cover"
# Methods that only our subclasses have.
NEW = {
    "SourceConfluence": {"_before_read", "_build", "_resolved"},
    "CarefulRequester": {"_after_not_found", "_is_gone", "_require_credential", "_ask"},
    "WholeListRetriever": {"_has_gap", "_from_the_beginning", "_by_id"},
    "CountingRouter": {"advance"},
    "StreamingFileUploader": {"_download"},
    "FileAdapter": {"_write"},
    "AdaptiveAPIBudget": {"_seconds_left", "_rate", "_slow_down"},
    "PartitionCursor": {"like", "continue_from"},
    "ComponentFactory": {"_scope"},
    "LineWriter": {"_write_regularly", "_wait_for_signal", "end_process"},
}


def subclasses() -> Iterator[tuple[type, list[type]]]:
    """Yield each class of the package that has a base elsewhere, with these bases."""
    for path in SOURCES:
        name = ".".join(["source_confluence", *path.relative_to(PACKAGE).with_suffix("").parts])
        if path.stem.startswith("__"):
            continue
        for found in vars(importlib.import_module(name)).values():
            if inspect.isclass(found) and found.__module__ == name:
                bases = [
                    each for each in found.__mro__[1:] if not each.__module__.startswith("source_confluence")
                ]
                if any(each not in (object, Exception) for each in bases):
                    yield found, [each for each in bases if each is not object]


SUBCLASSES = list(subclasses())


@pytest.mark.parametrize(("ours", "bases"), SUBCLASSES, ids=[each.__name__ for each, _ in SUBCLASSES])
def test_each_method_overrides_one_of_the_cdk_or_is_known_as_new(ours: type, bases: list[type]) -> None:
    methods = {
        name for name, it in vars(ours).items() if inspect.isroutine(it) or isinstance(it, staticmethod)
    }
    inherited = {name for base in ours.__mro__[1:] for name in vars(base)}
    assert {name for name in methods - inherited if not name.startswith("__")} == NEW.get(
        ours.__name__, set()
    )
    assert bases


@pytest.mark.parametrize(("ours", "bases"), SUBCLASSES, ids=[each.__name__ for each, _ in SUBCLASSES])
def test_each_private_name_of_self_exists(ours: type, bases: list[type]) -> None:
    named, set_here = set(), set(vars(ours))
    for each in (it for it in ours.__mro__ if it not in bases and it is not object):
        set_here |= each.__annotations__.keys() if "__annotations__" in vars(each) else set()
        for node in ast.walk(ast.parse(inspect.getsource(each))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
                named.add(node.attr)
                set_here |= {node.attr} if isinstance(node.ctx, ast.Store) else set()
    private = {name for name in named - set_here if re.match("_[a-z]", name)}
    theirs = "".join(inspect.getsource(base) for base in bases if base.__module__.startswith("airbyte_cdk"))
    assert {name for name in private if not hasattr(ours, name) and f"self.{name}" not in theirs} == set()


def private_names() -> Iterator[tuple[str, str]]:
    """Yield each private name that the package takes from an object that is not `self`, with its place."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
                owner = ast.unparse(node.value)
                if owner not in ("self", "cls") and not owner.startswith("super("):
                    yield node.attr, f"{path.name}: {owner}"


def test_each_private_name_of_another_object_exists() -> None:
    unknown = {name: place for name, place in private_names() if name not in OURS and name not in ELSEWHERE}
    assert unknown == {}
    for name, classes in ELSEWHERE.items():
        for each in classes if isinstance(classes, tuple) else (classes,):
            found = hasattr(each, name) or re.search(rf"self\.{name}\b|\b{name}:", inspect.getsource(each))
            assert found, f"{each.__name__} has no {name}"
