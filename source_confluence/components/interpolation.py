"""Interpolation of templates, with less work than the CDK's.

docs/cdk-proposals.md has what it saves. Delete it when the CDK compiles and parses as little.
"""

import re
from functools import cache
from typing import Any

from airbyte_cdk.sources.declarative.interpolation import InterpolatedBoolean, InterpolatedString
from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation
from jinja2 import nodes
from jinja2.environment import Template

CONSTANTS = {"True": True, "False": False, "None": None}
# A timestamp such as 2024-01-31T00:00:00.000Z: Python's parser would try it, and raise.
NOT_A_LITERAL = re.compile(r"[0-9][0-9.+-]*[T:][\w.:+-]*")


class LeanInterpolation(JinjaInterpolation):
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
        """Keep only the functions that the template names: the CDK copies all of them each time."""
        template: Template = JinjaInterpolation._compile.__wrapped__(text)  # noqa: SLF001 - one of our own
        names = {name.name for name in template.environment.parse(text).find_all(nodes.Name)}
        template.globals = {name: value for name, value in template.globals.items() if name in names}
        return template


INTERPOLATION = LeanInterpolation()


def lean(component: Any) -> Any:
    """Let the templates of a component use this interpolation."""
    for part in vars(component).values():
        if isinstance(part, (InterpolatedBoolean, InterpolatedString)):
            part._interpolation = INTERPOLATION  # noqa: SLF001 - the CDK offers no other way
    return component
