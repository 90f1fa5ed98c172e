"""Load contract.yaml, and find the operation of a path."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

_FILE = Path(__file__).with_name("contract.yaml")


@dataclass(frozen=True)
class Parameter:
    """A query parameter of an operation.

    Attributes:
        kind: "integer", "string" or "boolean".
        values: The allowed values; empty if any value is allowed.
        many: Whether several values are allowed.
        commas: Whether several values can be separated by commas, besides being repeated.
        repeats: Whether several values are accepted although the document declares one.
        max_items: The largest number of values; 0 if the document has no limit.
        field: The record field that it filters by; empty if it filters nothing.
        compare: "equal", "from", "to" or "contains".
        default: The allowed values of the field if the parameter is absent; empty for any value.
        include: The part that a true flag adds to a single object.
    """

    name: str
    kind: str = "string"
    values: tuple[str, ...] = ()
    many: bool = False
    commas: bool = False
    max_items: int = 0
    repeats: bool = False
    required: bool = False
    field: str = ""
    compare: str = "equal"
    default: tuple[str, ...] = ()
    include: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One operation, as contract.yaml describes it."""

    path: str
    api: str
    summary: str
    collections: tuple[str, ...]
    paging: str
    parameters: dict[str, Parameter]
    method: str = "GET"
    limit_default: int = 0
    limit_max: int = 0
    limit_over: str = "refuse"
    most: int = 0
    sort: dict[str, str] = dataclasses.field(default_factory=dict)
    default_sort: str = ""
    body_formats: tuple[str, ...] = ()
    body_in: str = ""
    where: dict[str, str] = dataclasses.field(default_factory=dict)
    through: str = ""
    only: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    parents: tuple[str, ...] = ()
    parent_field: str = "id"
    optional: bool = False
    shape: str = ""
    hides: tuple[str, ...] = ()
    link_header: bool = True
    scopes: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    needs: str = ""


@dataclass(frozen=True)
class Contract:
    """All operations by path template, and the properties of each collection."""

    operations: dict[str, Operation]
    collections: dict[str, dict[str, Any]]
    gone: tuple[str, ...]
    _routes: dict[str, Any]

    def find(self, path: str) -> tuple[Operation | str | None, dict[str, str]]:
        """Find the operation of a path, and the values of its path parameters.

        Returns:
            The operation, the template of a removed path, or None.
        """
        node, values = self._routes, []
        for segment in path.strip("/").split("/"):
            if segment in node:
                node = node[segment]
            elif "{}" in node and segment:
                node = node["{}"]
                values.append(unquote(segment))
            else:
                return None, {}
        end = node.get("")
        if end is None:
            return None, {}
        template = end if isinstance(end, str) else end.path
        names = [part[1:-1] for part in template.split("/") if part.startswith("{")]
        return end, dict(zip(names, values, strict=True))


@lru_cache(maxsize=1)
def load_contract() -> Contract:
    """Load contract.yaml once."""
    document = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    operations = {
        path: _operation(api, path, block) for api in ("v2", "v1") for path, block in document[api].items()
    }
    routes: dict[str, Any] = {}
    ends: dict[str, Operation | str] = {path: path for path in document["gone"]}
    ends.update(operations)
    for path, end in ends.items():
        node = routes
        for segment in path.strip("/").split("/"):
            node = node.setdefault("{}" if segment.startswith("{") else segment, {})
        node[""] = end
    return Contract(operations, document["collections"], tuple(document["gone"]), routes)


def _operation(api: str, path: str, block: dict[str, Any]) -> Operation:
    limit, parent = block.get("limit", {}), block.get("parent", {})
    paging = block.get("paging", "cursor")
    return Operation(
        path=path,
        api=api,
        summary=block["summary"],
        collections=_strings(block["collection"]),
        paging=paging,
        parameters=_parameters(block, paging),
        method=block.get("method", "GET"),
        limit_default=limit.get("default", 0),
        limit_max=limit.get("max", 0),
        limit_over=limit.get("over", ""),
        most=block.get("most", 0),
        sort=block.get("sort", {}),
        default_sort=block.get("default-sort", "id" if paging == "cursor" else ""),
        body_formats=tuple(block.get("body-format", ())),
        body_in=block.get("body-in", ""),
        where=block.get("where", {}),
        through=block.get("through", ""),
        only={name: _strings(value) for name, value in block.get("only", {}).items()},
        parents=_strings(parent.get("collection", ())),
        parent_field=parent.get("field", "id"),
        optional=block.get("optional", False),
        shape=block.get("shape", ""),
        hides=tuple(block.get("hides", ())),
        link_header=block.get("link-header", True),
        scopes=block["scopes"],
        needs=block.get("needs", ""),
    )


def _parameters(block: dict[str, Any], paging: str) -> dict[str, Parameter]:
    """Return the parameters of an operation, including those of its pagination."""
    found = [_parameter(name, declaration) for name, declaration in block.get("parameters", {}).items()]
    if "limit" in block:
        kind = block["limit"].get("type", "integer")
        found.append(Parameter("limit", kind))
        if paging not in ("cursor", "contents"):
            found.append(Parameter("start", kind))
    if paging in ("cursor", "search", "contents"):
        found.append(Parameter("cursor"))
    if "sort" in block:
        orders = tuple(sign + name for name in block["sort"] for sign in ("", "-"))
        found.append(Parameter("sort", values=orders))
    if "body-format" in block:
        found.append(Parameter("body-format", values=tuple(block["body-format"])))
    return {parameter.name: parameter for parameter in found}


def _parameter(name: str, declaration: dict[str, Any]) -> Parameter:
    kind = declaration.get("each", declaration.get("type"))
    return Parameter(
        name=name,
        kind=kind if isinstance(kind, str) else "string",
        values=() if isinstance(kind, str) else tuple(kind or ()),
        many="each" in declaration,
        commas="each" in declaration and declaration.get("commas", True),
        max_items=declaration.get("max", 0),
        repeats=declaration.get("repeats", False),
        required=declaration.get("required", False),
        field=declaration.get("field", ""),
        compare=declaration.get("compare", "equal"),
        default=tuple(declaration.get("default", ())),
        include=declaration.get("include", {}),
    )


def _strings(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
