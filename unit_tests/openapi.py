"""Atlassian's OpenAPI documents, which are outside the repository."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from common.connector import SHARED

if TYPE_CHECKING:
    from fake_confluence import Operation

DOCUMENTS = SHARED / "openapi"


@lru_cache
def document(api: str) -> dict[str, Any]:
    text = (DOCUMENTS / f"confluence-{api}.json").read_text(encoding="utf-8")
    # In OpenAPI 3.0, the keys beside a reference have no effect.
    alone: dict[str, Any] = json.loads(
        text,
        object_hook=lambda found: {"$ref": found["$ref"]} if isinstance(found.get("$ref"), str) else found,
    )
    return alone


def declared(operation: Operation) -> dict[str, Any]:
    """Return an operation as the official document declares it."""
    path = operation.path.removeprefix("/wiki/api/v2")
    found: dict[str, Any] = document(operation.api)["paths"][path][operation.method.lower()]
    return found


def resolved(api: str, schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    kind, name = schema["$ref"].split("/")[-2:]
    found: dict[str, Any] = document(api)["components"][kind][name]
    return found


def official_parameters(operation: Operation) -> dict[str, dict[str, Any]]:
    known = [resolved(operation.api, each) for each in declared(operation).get("parameters", [])]
    return {each["name"]: each for each in known if each["in"] == "query"}
