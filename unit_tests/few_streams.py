"""Incremental reads of a few streams, which start quickly."""

from __future__ import annotations

import copy
import pickle
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.declarative.models import DeclarativeStream

from common.connector import STREAMS, Output, config_for, connector
from common.streams import resolved
from source_confluence import source
from source_confluence.components import partition_router
from source_confluence.source import SourceConfluence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fake_confluence import Server


ASKED = ("current_user", "anonymous_visitor", "place")


@cache
def parsed() -> bytes:
    """Return the manifest: reading its text takes longer than a small read."""
    return pickle.dumps(yaml.safe_load(source.MANIFEST.read_text(encoding="utf-8")))


@cache
def manifest_of(select: tuple[str, ...], group_size: int) -> dict[str, Any]:
    """Return a manifest with only some of the streams and with smaller groups of spaces."""
    whole = fresh(parsed())
    declared = [copy.deepcopy(STREAMS[name].declared) for name in dict.fromkeys(("space", *select))]
    _shrink(declared, group_size)
    return {
        **{key: whole[key] for key in ("version", "type", "check", "spec", "concurrency_level")},
        "definitions": {name: resolved()[name] for name in ASKED},
        "streams": declared,
    }


RESOLVE = SourceConfluence._resolved  # noqa: SLF001 - `kept` calls what `few_streams` replaces


def fresh(pickled: bytes) -> Any:
    """Return a copy that a read may change."""
    return pickle.loads(pickled)  # noqa: S301 - pickled in this file


@cache
def kept(manifest: bytes, names: tuple[str, ...], parts: bytes) -> bytes:
    """Return what the source makes of a manifest for these streams."""
    source: Any = SimpleNamespace(_manifest=fresh(manifest))
    return pickle.dumps(RESOLVE(source, names, fresh(parts)))


PARSE = DeclarativeStream.parse_obj


@cache
def model(declared: bytes) -> bytes:
    """Return the CDK's model of a stream."""
    return pickle.dumps(PARSE(fresh(declared)))


def _shrink(part: Any, group_size: int) -> None:
    if isinstance(part, dict):
        if part.get("group_size") == 25:
            part["group_size"] = group_size
        if part.get("type") == "InlineSchemaLoader":
            part["schema"] = {"type": "object", "properties": {}}
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _shrink(value, group_size)


@contextmanager
def few_streams(*select: str, group_size: int = 2) -> Iterator[None]:
    """Avoid most of the time of a small read: the whole manifest is not parsed, resolved and validated each time."""
    manifest = pickle.dumps(manifest_of(select, group_size))

    def resolve(_: SourceConfluence, names: Iterable[str], parts: Any) -> Any:
        return fresh(kept(manifest, tuple(names), pickle.dumps(parts)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SourceConfluence, "_read_and_parse_yaml_file", lambda *_: fresh(manifest))
        patch.setattr(SourceConfluence, "_resolved", resolve)
        patch.setattr(DeclarativeStream, "parse_obj", lambda declared: fresh(model(pickle.dumps(declared))))
        patch.setattr(SourceConfluence, "_validate_source", lambda _: None)
        patch.setattr(partition_router, "GROUPS", 1)
        patch.setattr(concurrent_declarative_source, "get_declarative_component_schema", dict)
        yield


def sync(server: Server, *select: str, state: Any = None, group_size: int = 2, **config: Any) -> Output:
    """Read incrementally; six spaces make three groups."""
    with few_streams(*select, group_size=group_size):
        return connector("read", config_for(server, **config), select=select, state=state, incremental=True)
