"""The fields that schemas declare, and the fields of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def declared(
    schema: dict[str, Any], body_format: str = "storage", never: Collection[str] = (), path: str = ""
) -> Iterator[str]:
    """Name the fields of a schema that the connector can get.

    Skip fields that need a parameter that is not sent, as their descriptions say, and bodies in other formats.
    """
    for name, declaration in schema.get("properties", {}).items():
        here, about = f"{path}.{name}" if path else name, declaration.get("description", "")
        other_format = path.endswith(("body", "description")) and name not in (body_format, "plain")
        if other_format or here in never or "only when a request" in about or "no longer given" in about:
            continue
        yield here
        for inner in (declaration, declaration.get("items", {})):
            yield from declared(inner, body_format, never, here)


def filled(value: Any, path: str = "") -> Iterator[str]:
    """Name the fields of a record that are not null."""
    for each in value if isinstance(value, list) else (value,):
        for name, inner in each.items() if isinstance(each, dict) else ():
            if inner is not None:
                here = f"{path}.{name}" if path else name
                yield here
                yield from filled(inner, here)


def undeclared(schema: dict[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """Name the fields of a record that its schema does not declare; an object without properties can have any."""
    if isinstance(value, list):
        for each in value:
            yield from undeclared(schema.get("items", {}), each, path)
    properties = schema.get("properties", {})
    for name, inner in value.items() if isinstance(value, dict) and properties else ():
        here = f"{path}.{name}" if path else name
        if name in properties:
            yield from undeclared(properties[name], inner, here)
        else:
            yield here
