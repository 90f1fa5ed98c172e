"""Interpolation of record fields and filters, with less work for each record than the CDK's.

docs/cdk-proposals.md has what it saves. Delete it when the CDK compiles and parses as little.
"""

import re
from functools import cache
from typing import Any

from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation
from airbyte_cdk.sources.declarative.transformations.add_fields import AddedFieldDefinition
from jinja2 import nodes
from jinja2.environment import Template

CONSTANTS = {"True": True, "False": False, "None": None}
# A timestamp such as 2024-01-31T00:00:00.000Z: Python's parser would try it, and raise.
NOT_A_LITERAL = re.compile(r"[0-9][0-9.+-]*[T:][\w.:+-]*")


class RecordInterpolation(JinjaInterpolation):
    """Interpolate like the CDK, without work that never changes the result."""

    def _literal_eval(self, result: Any, valid_types: Any) -> Any:
        if isinstance(result, str):
            if not valid_types and result in CONSTANTS:
                return CONSTANTS[result]
            if NOT_A_LITERAL.fullmatch(result):
                return result
        try:
            return super()._literal_eval(result, valid_types)
        except SystemError:
            # Python before 3.11.8 and 3.12.2, when two threads parse at once: cpython issue 106905
            return super()._literal_eval(result, valid_types)

    @staticmethod
    @cache
    def _compile(text: str) -> Template:
        """Keep only the functions that the template names: the CDK copies all of them for each record."""
        template: Template = JinjaInterpolation._compile.__wrapped__(text)  # noqa: SLF001 - one of our own
        names = {name.name for name in template.environment.parse(text).find_all(nodes.Name)}
        template.globals = {name: value for name, value in template.globals.items() if name in names}
        return template


INTERPOLATION = RecordInterpolation()


def added_field(definition: AddedFieldDefinition) -> AddedFieldDefinition:
    """Let an added field use the interpolation for records."""
    definition.value._interpolation = INTERPOLATION  # type: ignore[union-attr]  # noqa: SLF001 - a template, as the factory builds it
    return definition


def record_filter(built: Any) -> Any:
    """Let a filter, or the condition of added fields, use the interpolation for records."""
    built._filter_interpolator._interpolation = INTERPOLATION  # noqa: SLF001 - the CDK offers no other way
    return built
