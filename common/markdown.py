"""Generated parts of a document, between two markers."""

from __future__ import annotations


def between_marks(text: str, mark: str, content: str) -> str:
    """Replace the content between the two markers with this name in a Markdown text."""
    begin, end = f"<!-- {mark}:begin -->\n", f"<!-- {mark}:end -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise LookupError(f"the text has no marks {begin!r} and {end!r}")
    return f"{before}{begin}{content}{end}{after}"
