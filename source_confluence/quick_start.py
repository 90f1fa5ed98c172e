"""The CDK, imported without reading its own source code: a third of what a start takes.

For each message that it can print, the CDK's serializer parses the source of the message's class to find the
comments below its fields, for a JSON schema that nobody asks for. Without comments the messages are the same.
To be deleted when serpyco-rs reads them where somebody asks.
"""

from importlib import import_module
from typing import Any


def import_cdk(comments: Any) -> None:
    """Import the CDK while no class has comments."""
    read = comments.get_attributes_doc
    comments.get_attributes_doc = lambda _: {}
    try:
        import_module("airbyte_cdk")
    finally:
        comments.get_attributes_doc = read


try:
    import_cdk(import_module("attributes_doc"))
except ImportError:
    import_module("airbyte_cdk")  # whose serializer does without comments
