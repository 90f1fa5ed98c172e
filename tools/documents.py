"""Convert pages and posts to Markdown, for a search or a model. You can copy it; it needs duckdb and markdownify.

    python tools/documents.py confluence.duckdb documents.jsonl

The database contains the tables of a sync and the view of the recipe `text_for_ai`. Each line is a page or post: its
`document_key` (the id), `type`, `title`, `path`, `content` in Markdown, `url`, `last_modified`, `labels`, and the
account ids that `may_see` it: nobody if the list is empty. The `content` of a live doc without text is null: it is not
known, because Confluence can return an empty body for a live doc that has text. So is that of a body that cannot be
converted, which is named on stderr. It accepts bodies in any format: storage, atlas_doc_format, or rendered.

No library replaces it yet. Of the 30 bodies in atlas_doc_format in unit_tests/test_documents.py, atlas-doc-parser 1.0.1
loses text of 13 (it drops a node that it does not know together with its content, such as a macro or the columns of a
layout) and stops at one. Of the 68 in storage format, markdownify 1.2.3 alone loses or runs together words of 29, and
shows parameters of macros in 17 others.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import duckdb
from bs4 import BeautifulSoup, Tag
from bs4.exceptions import ParserRejectedMarkup
from markdownify import ATX, MarkdownConverter

if TYPE_CHECKING:
    from collections.abc import Iterator

CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\] ?>", re.DOTALL)
# What a body with other fields than expected, or other values, leads to.
ODD = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
PANELS = {"info", "tip", "note", "warning", "success", "error", "panel"}
# The parameters that a reader sees; all others control the appearance or the query of a macro.
SHOWN = {"status": "title", "jira": "key", "widget": "url", "iframe": "src"}


OPTIONS: dict[str, Any] = {
    "heading_style": ATX,
    "bullets": "-",
    "escape_underscores": False,  # names in code contain many
    "code_language_callback": lambda pre: attribute(pre, "data-language"),
}


@dataclass(frozen=True)
class Site:
    """What a body refers to but does not contain.

    Attributes:
        base: The URL of the site, such as https://example.atlassian.net/wiki.
        people: The name of each account id.
        pages: The URL of each page and post, by its type, the key of its space, and its title.
        space: The key of the space of the page.

    """

    base: str = ""
    people: dict[str, str] = field(default_factory=dict)
    pages: dict[tuple[str, str, str], str] = field(default_factory=dict)
    space: str = ""


def main() -> None:
    """Write the documents of a database."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database", type=Path, help="the DuckDB file that has the view text_for_ai")
    parser.add_argument(
        "file", type=Path, help="the file to write; it is replaced when all documents are there"
    )
    args = parser.parse_args()
    try:
        with duckdb.connect(str(args.database), read_only=True) as connection:
            write(connection, args.file)
    except OSError as failure:
        sys.exit(f"{args.file} cannot be written: {failure.strerror}.")
    except duckdb.Error as failure:
        sys.exit(f"{args.database} cannot be used: {failure}")


def write(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write the documents of a database, one per line: all of them, or the file stays as it is."""
    is_pipe = file.exists() and not file.is_file()  # or a device
    part = file if is_pipe else file.with_name(f".{file.name}.new")
    try:
        with part.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(d, ensure_ascii=False) + "\n" for d in documents(connection))
        if not is_pipe:
            part.replace(file)
    finally:
        if not is_pipe:
            part.unlink(missing_ok=True)


def documents(connection: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Any]]:
    """Yield each current page and post as a document."""
    (base,) = connection.execute("SELECT baseUrl FROM site_info").fetchone() or ("",)
    # Posts of several days can have the same title: a link to one of them stays text.
    pages = connection.execute("""
        SELECT type, space, title, any_value(url) FROM text_for_ai
        GROUP BY ALL HAVING count(DISTINCT document_key) = 1""").fetchall()
    site = Site(base, names(connection), {(kind, space, title): url for kind, space, title, url in pages})
    found = connection.execute("SELECT * FROM text_for_ai ORDER BY document_key")
    columns = [name for name, *_ in found.description or []]
    while values := found.fetchone():
        row = dict(zip(columns, values, strict=True))
        try:
            content = to_markdown(json.loads(row["body"] or "{}"), replace(site, space=row["space"]))
        except (*ODD, RecursionError, ParserRejectedMarkup) as failure:  # the other documents must arrive
            place, why = f"{row['type']} {row['document_key']}", type(failure).__name__
            print(f"{place} has no content: its body cannot be converted ({why}).", file=sys.stderr)
            content = None
        yield {
            "document_key": row["document_key"],
            "type": row["type"],
            "title": row["title"],
            "path": row["path"],
            "content": content or ("" if content is not None and row["subtype"] != "live" else None),
            "url": row["url"],
            "last_modified": row["last_modified"] and row["last_modified"].isoformat(),
            "labels": row["labels"] or [],
            "may_see": row["may_see"] or [],
        }


def names(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return the name of each account that a table has, also of people who left; `users` has the newest."""
    found: dict[str, str] = {}
    for table in ("named_users", "users"):
        with suppress(duckdb.CatalogException):  # it was not synced
            rows = connection.table(table).project("accountId, coalesce(displayName, publicName)").fetchall()
            found |= {account: name for account, name in rows if name}
    return found


def to_markdown(body: dict[str, Any], site: Site) -> str:
    """Return the `body` of a record, such as `{"storage": {"value": "<p>…"}}`, in Markdown."""
    (representation, content), *_ = [*body.items(), ("", None)]
    text = (content or {}).get("value") or ""
    html = adf(json.loads(text), site) if text and representation == "atlas_doc_format" else text
    soup = plain_html(html, site)
    try:
        found = MarkdownConverter(**OPTIONS).convert_soup(soup)
    except RecursionError:  # nested too deeply for Python's stack
        found = soup.get_text(" ")
    return str(found).replace("\xa0", " ").strip()


# ------------------------------------------------------------------ storage format and rendered HTML


def plain_html(text: str, site: Site) -> BeautifulSoup:
    """Convert storage format or rendered HTML to HTML that any converter understands."""
    soup = BeautifulSoup(CDATA.sub(lambda found: escape(found[1]), text), "html.parser")
    for selector, change in CHANGES.items():
        for element in reversed(soup.select(selector)):  # inner ones first: the outer one may be removed
            change(element, site)
    return soup


def attribute(element: Tag, *names: str) -> str:
    """Return the first of these attributes that is not empty."""
    return next((str(element[name]) for name in names if element.get(name)), "")


def remove(element: Tag, _: Site) -> None:
    """Remove an element that a reader does not see."""
    element.decompose()


def named(name: str) -> Any:
    """Return a function that gives an element an HTML name."""

    def change(element: Tag, _: Site) -> None:
        element.name = name

    return change


def time(element: Tag, _: Site) -> None:
    """Show a date that is only in an attribute."""
    element.string = element.get_text() or attribute(element, "datetime")


def emoji(element: Tag, _: Site) -> None:
    """Replace an emoji with its character, or with its name if it has no character."""
    names = ("ac:emoji-fallback", "ac:emoji-shortname", "data-emoji-fallback", "alt")
    element.replace_with(attribute(element, *names) or f":{attribute(element, 'ac:name')}:")


def link(element: Tag, site: Site) -> None:
    """Turn a Confluence link into an HTML link, or into its text."""
    target = element if element.name.startswith("ri:") else element.select_one(RESOURCES)
    shown = element.find(["ac:link-body", "ac:plain-text-link-body"])
    name = address = ""
    if target is not None:
        title, space = attribute(target, "ri:content-title"), attribute(target, "ri:space-key")
        person = attribute(target, "ri:account-id", "ri:userkey", "ri:username")
        name = f"@{site.people.get(person, person)}" if person else title
        name = name or attribute(target, "ri:filename", "ri:value", "ri:space-key")
        kind = "blogpost" if target.name == "ri:blog-post" else "page"
        address = site.pages.get((kind, space or site.space, title)) or attribute(target, "ri:value")
    elif anchor := attribute(element, "ac:anchor"):
        name, address = anchor, f"#{anchor}"
    if shown is None:
        element.string = name
    elif target is not None:
        target.decompose()
    element.name, element.attrs = "a", {"href": address} if address else {}


def image(element: Tag, _: Site) -> None:
    """Turn an image of storage format into an HTML image, followed by its caption."""
    source = element.select_one(RESOURCES)
    name = "" if source is None else attribute(source, "ri:filename", "ri:value")
    element.insert(0, Tag(name="img", attrs={"src": name, "alt": attribute(element, "ac:alt") or name}))
    if source is not None:
        source.decompose()
    element.name = "span"


def extension(element: Tag, _: Site) -> None:
    """Keep one of the two forms of an element of the new editor: the one with its type."""
    node = element.find("ac:adf-node", recursive=False)
    known = node is not None and node.find("ac:adf-content") is not None
    other = element.find("ac:adf-fallback", recursive=False) if known else node
    if other is not None:
        other.decompose()


def extension_node(element: Tag, _: Site) -> None:
    """Convert panels and decisions to HTML elements."""
    kind = attribute(element, "type")
    attributes = {
        attribute(a, "key"): a.get_text() for a in element.find_all("ac:adf-attribute", recursive=False)
    }
    element.name = {"panel": "blockquote", "decision-list": "ul", "decision-item": "li"}.get(kind, "div")
    if kind == "panel":
        lead(element, attributes.get("panel-type", "panel").title())
    if kind == "decision-item" and (content := element.find("ac:adf-content")) is not None:
        content.name = "span"
        content.insert(0, "Decision: ")


def macro(element: Tag, _: Site) -> None:
    """Keep the visible parts of a macro: its title and its body, or the content that its parameters name."""
    name = attribute(element, "ac:name")
    parameters = {attribute(p, "ac:name"): p for p in element.find_all("ac:parameter", recursive=False)}
    title = parameters["title"].get_text() if "title" in parameters else ""
    code = element.find("pre", recursive=False)
    for parameter in parameters.values():
        parameter.extract()
    if code is None and element.find("ac:rich-text-body", recursive=False) is None:
        links = [found for parameter in parameters.values() for found in parameter.find_all("a")]
        shown = [p.get_text() for key, p in parameters.items() if key == SHOWN.get(name)]
        element.clear()
        element.extend(links or shown)
        element.name = "span"
        return
    if code is not None and "language" in parameters:
        code["data-language"] = parameters["language"].get_text()
    element.name = "blockquote" if name in PANELS else "div"
    lead(element, name.title() if name in PANELS - {"panel"} else "", title)


def task(element: Tag, _: Site) -> None:
    """Turn a task into a list item."""
    status = element.find("ac:task-status", recursive=False)
    done = status is not None and status.extract().get_text() == "complete"
    element.name = "li"
    check(element.find("ac:task-body") or element, done=done)


def rendered_task(element: Tag, _: Site) -> None:
    """Show whether a rendered task is done."""
    check(element, done="checked" in element.get_attribute_list("class"))


def rendered_code(element: Tag, _: Site) -> None:
    """Set the language of rendered code."""
    found = re.search(r"brush:\s*([\w+#-]+)", attribute(element, "data-syntaxhighlighter-params"))
    element["data-language"] = found[1] if found else ""


def rendered_title(element: Tag, _: Site) -> None:
    """Turn the title of rendered code, of a panel or of an expandable block into a line in bold."""
    words = element.get_text().strip()
    element.clear()
    element.name = "div"
    lead(element, words)


def rendered_panel(element: Tag, _: Site) -> None:
    """Turn a rendered panel into a quotation that begins with its type."""
    start = "confluence-information-macro-"
    kinds = [
        c.removeprefix(start).title()
        for c in element.get_attribute_list("class")
        if c and c.startswith(start)
    ]
    title = element.find("p", class_="title", recursive=False)
    element.name = "blockquote"
    lead(element, *kinds[:1], "" if title is None else title.extract().get_text())


def rendered_mention(element: Tag, site: Site) -> None:
    """Turn a link to a user into a mention."""
    name = site.people.get(attribute(element, "data-account-id"), element.get_text())
    element.replace_with(f"@{name.removeprefix('@')}")


def lead(element: Tag, *words: str) -> None:
    """Insert a line in bold at the beginning of a block, if there is text for it."""
    if any(words):
        text = escape(": ".join(filter(None, words)))
        element.insert(0, BeautifulSoup(f"<p><strong>{text}</strong></p>", "html.parser"))


def check(element: Tag, *, done: bool) -> None:
    """Insert a checkbox before the text of a task."""
    inner = next((child for child in element.children if str(child).strip()), None)
    first = inner if isinstance(inner, Tag) and inner.name == "p" else element
    first.insert(0, "[x] " if done else "[ ] ")


def nested_list(element: Tag, _: Site) -> None:
    """Move a list that is directly in a list into the item before it."""
    if item := element.find_previous_sibling("li"):
        item.append(element)


def rowspans(element: Tag, _: Site) -> None:
    """Repeat a cell in each row that it spans, so that each row is complete."""
    below: dict[int, tuple[int, Tag]] = {}
    for row in element.find_all("tr"):
        cells, column = row.find_all(["td", "th"], recursive=False), 0
        while cells or column in below:
            if column in below:
                left, cell = below.pop(column)
                row.insert(row.index(cells[0]) if cells else len(row.contents), copy.copy(cell))
            else:
                cell = cells.pop(0)
                left = spanned(cell, "rowspan")
                del cell["rowspan"]
            if left > 1:
                below[column] = left - 1, cell
            column += spanned(cell, "colspan")


def spanned(element: Tag, name: str) -> int:
    """Return how many rows or columns a cell spans."""
    return int(attribute(element, name)) if attribute(element, name).isdigit() else 1


def in_cell(element: Tag, _: Site) -> None:
    """Put the content of a cell on one line, as Markdown requires."""
    for code in element.find_all("pre"):
        code.name, code.string = "code", " ".join(code.get_text().split())
    for paragraph in element.select("li > p"):
        if paragraph.find_next_sibling():
            paragraph.append(" ")
        paragraph.unwrap()
    for item in element.find_all("li"):
        item.name = "span"
        if item.find_next_sibling("li"):
            item.append("; ")
    for plain in element.find_all(["ul", "ol"]):
        plain.name = "span"
    for text in element.find_all(string=re.compile(r"[|]")):
        text.replace_with(text.replace("|", "\\|"))


def no_heading(element: Tag, _: Site) -> None:
    """Escape text that looks like a heading."""
    first = element.find(string=True)
    if first and first.parent and first.parent.name != "code" and re.match(r"\s*#{1,6}\s", first):
        first.replace_with(f"\\{first.lstrip()}")


def address(element: Tag, site: Site) -> None:
    """Turn a relative URL of the site into an absolute one."""
    for name in ("href", "src"):
        if attribute(element, name).startswith("/"):
            element[name] = urljoin(site.base, attribute(element, name))


RESOURCES = ", ".join(
    rf"ri\:{kind}"
    for kind in ("page", "blog-post", "attachment", "url", "shortcut", "user", "space", "content-entity")
)
CHANGES = {
    r"ac\:placeholder, ac\:task-id, ac\:task-uuid, at\:declarations": remove,
    r".toc-macro, .userLogo, .aui-icon, .expand-control-icon": remove,
    "time": time,
    r"ac\:emoticon, img.emoticon": emoji,
    r"ac\:link": link,
    r"ac\:image": image,
    RESOURCES: link,  # in a parameter: an included page, a displayed file
    r"ac\:adf-extension": extension,
    r"ac\:adf-node": extension_node,
    r"ac\:adf-attribute, ac\:adf-parameter, ac\:adf-mark": remove,
    r"ac\:plain-text-body": named("pre"),
    r"ac\:structured-macro, ac\:macro": macro,
    r"ac\:parameter, ac\:default-parameter": remove,
    r"ac\:task": task,
    r"ac\:task-list": named("ul"),
    r"ac\:layout, ac\:layout-section, ac\:layout-cell": named("div"),
    r"ac\:rich-text-body, ac\:adf-content:not(span), ac\:caption": named("div"),
    "ul.inline-task-list > li": rendered_task,
    "pre[data-syntaxhighlighter-params]": rendered_code,
    ".codeHeader, .panelHeader, .expand-control": rendered_title,
    ".confluence-information-macro, .panel:not(.code):not(.preformatted)": rendered_panel,
    "a.confluence-userlink": rendered_mention,
    "ul > ul, ul > ol, ol > ul, ol > ol": nested_list,
    "table": rowspans,
    "td, th": in_cell,
    "p, li": no_heading,
    "a, img": address,
}


# ------------------------------------------------------------------ atlas_doc_format


def adf(node: Any, site: Site) -> str:
    """Convert a node of the editor's JSON to HTML; an unknown or odd node becomes its content."""
    if not isinstance(node, dict):
        return ""
    content = node.get("content")
    inner = "".join(adf(child, site) for child in content) if isinstance(content, list) else ""
    try:
        return converted(node["type"], node, inner, site)
    except ODD:
        return inner


def converted(kind: str, node: dict[str, Any], inner: str, site: Site) -> str:
    """Return a node as HTML around its converted content."""
    attrs = node.get("attrs") or {}
    if kind in TAGS:
        return f"<{TAGS[kind]}>{inner}</{TAGS[kind]}>"
    if kind in NODES:
        return str(NODES[kind](attrs, inner))
    if kind == "text":
        return marked(escape(node["text"]), node.get("marks"))
    if kind == "mention":
        return escape(
            "@" + (site.people.get(attrs.get("id", "")) or attrs.get("text") or attrs["id"]).lstrip("@")
        )
    return inner


def marked(html: str, marks: Any) -> str:
    """Return text with its marks as HTML."""
    for mark in marks if isinstance(marks, list) else []:
        with suppress(*ODD):
            if mark["type"] == "link":
                html = f'<a href="{escape(mark["attrs"]["href"])}">{html}</a>'
            elif mark["type"] in MARKS:
                html = f"<{MARKS[mark['type']]}>{html}</{MARKS[mark['type']]}>"
    return html


def cell(name: str) -> Any:
    """Return a function that makes a table cell."""

    def make(attrs: dict[str, Any], inner: str) -> str:
        spans = "".join(f' {span}="{attrs[span]}"' for span in ("colspan", "rowspan") if attrs.get(span))
        return f"<{name}{spans}>{inner}</{name}>"

    return make


def task_item(attrs: dict[str, Any], inner: str) -> str:
    """Return a task with a checkbox before its text."""
    box = "[x] " if attrs.get("state") == "DONE" else "[ ] "
    return re.sub(r"^(<p>)?", rf"<li>\g<0>{box}", inner) + "</li>"


def card(attrs: dict[str, Any], _: str) -> str:
    """Return a link that shows its URL."""
    url = escape(attrs.get("url") or (attrs.get("data") or {}).get("url") or "")
    return f'<a href="{url}">{url}</a>'


def media(attrs: dict[str, Any], _: str) -> str:
    """Return an image; for an attached image, the body contains only its id."""
    source = escape(attrs.get("url") or attrs.get("id") or "")
    return f'<img src="{source}" alt="{escape(attrs.get("alt") or "")}">'


def bodyless(attrs: dict[str, Any], _: str) -> str:
    """Return the visible text of a macro without a body."""
    parameters = (attrs.get("parameters") or {}).get("macroParams") or {}
    shown = parameters.get(SHOWN.get(attrs.get("extensionKey", ""), "")) or {}
    return escape(str(shown.get("value", "")))


def stored(attrs: dict[str, Any], _: str) -> str:
    """Return the storage format of content that has no node in the editor's JSON."""
    return str(attrs.get("cxhtml", ""))


MARKS = {"strong": "strong", "em": "em", "code": "code", "strike": "s"}
TAGS = {
    "paragraph": "p",
    "caption": "p",
    "blockquote": "blockquote",
    "table": "table",
    "tableRow": "tr",
    "bulletList": "ul",
    "orderedList": "ol",
    "listItem": "li",
    "taskList": "ul",
    "decisionList": "ul",
    "mediaSingle": "div",
    "mediaGroup": "div",
}
NODES = {
    "heading": lambda attrs, inner: f"<h{attrs['level']}>{inner}</h{attrs['level']}>",
    "tableCell": cell("td"),
    "tableHeader": cell("th"),
    "codeBlock": lambda attrs, inner: (
        f'<pre data-language="{escape(attrs.get("language") or "")}">{inner}</pre>'
    ),
    **dict.fromkeys(("taskItem", "blockTaskItem"), task_item),
    "decisionItem": lambda _, inner: f"<li>Decision: {inner}</li>",
    "panel": lambda attrs, inner: (
        f"<blockquote><p><strong>{attrs['panelType'].title()}</strong></p>{inner}</blockquote>"
    ),
    **dict.fromkeys(
        ("expand", "nestedExpand"),
        lambda attrs, inner: f"<div><p><strong>{escape(attrs.get('title') or '')}</strong></p>{inner}</div>",
    ),
    "hardBreak": lambda *_: "<br>",
    "rule": lambda *_: "<hr>",
    "emoji": lambda attrs, _: escape(attrs.get("text") or attrs["shortName"]),
    "date": lambda attrs, _: (
        f"{datetime.fromtimestamp(int(attrs['timestamp']) / 1000, timezone.utc):%Y-%m-%d}"
    ),
    "status": lambda attrs, _: escape(attrs["text"]),
    **dict.fromkeys(("inlineCard", "blockCard", "embedCard"), card),
    **dict.fromkeys(("media", "mediaInline"), media),
    **dict.fromkeys(("extension", "inlineExtension"), bodyless),
    "confluenceJiraIssue": lambda attrs, _: escape(attrs.get("issueKey", "")),
    **dict.fromkeys(("confluenceUnsupportedBlock", "confluenceUnsupportedInline"), stored),
}


if __name__ == "__main__":
    main()
