"""The conversion of pages to Markdown, from each body format of Confluence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml

from common.connector import ROOT
from tools.documents import Site, to_markdown, write

if TYPE_CHECKING:
    from pathlib import Path

WRITTEN = yaml.safe_load(
    (ROOT / "fake_confluence/data/architecture_overview.yaml").read_text(encoding="utf-8")
)
WIKI = "https://norrvik.example/wiki"
SITE = Site(
    WIKI,
    {"712020:b04ca2a3-7e38-5701-82bb-b4e64bf434da": "Noor Jansen", "u1": "Ann"},
    {
        ("page", "ENG", "Telemetry protocol"): f"{WIKI}/spaces/ENG/pages/67096/Telemetry+protocol",
        ("page", "ENG", "Data pipeline"): f"{WIKI}/spaces/ENG/pages/67141/Data+pipeline",
        ("page", "OPS", "Data pipeline"): f"{WIKI}/spaces/OPS/pages/1/Data+pipeline",
        ("page", "ENG", "Version 3"): f"{WIKI}/spaces/ENG/pages/2/Version+3",
        ("blogpost", "ENG", "Version 3"): f"{WIKI}/spaces/ENG/blog/3/Version+3",
    },
    "ENG",
)
MARKDOWN = """\
## Layers

Readings from **München** and *Marstrand* pass `ingest_v2` — see \
[the protocol](https://norrvik.example/wiki/spaces/ENG/pages/67096/Telemetry+protocol), \
[Data pipeline](https://norrvik.example/wiki/spaces/ENG/pages/67141/Data+pipeline) and \
[the standards](https://example.com/standards). @Noor Jansen owns it 🌊, since 2025-11-03: IN USE

| Layer | Technology |
| --- | --- |
| Buoy | C, `rtos\\|3` |
| Buoy | Rust; Python |
| Shore | `SELECT 1` |

### Before a release

- [ ] Buy milk
  - [ ] Not too much
- [x] Replay the storm

1. Tag it

   - and sign the tag
2. Ship it

```python
if depth < 3 and __name__:
    print("<b>*shallow*</b> &amp;")
```

> **Warning**
>
> Never on a Friday.

> **Note**
>
> The gauge keeps **ninety** days.

**Why two queues?**

One was always full.

> Every metre counts.

\\# 1 is the first buoy

---

Left of it

Right of it

![A buoy at sea](https://example.com/buoy.png)

Press two keys,  
then ~~wait~~.

A change to the protocol needs a decision page."""  # noqa: W291 - two spaces are Markdown's line break


def from_storage(xhtml: str) -> str:
    return to_markdown({"storage": {"representation": "storage", "value": xhtml}}, SITE)


def from_view(html: str) -> str:
    return to_markdown({"view": {"representation": "view", "value": html}}, SITE)


def from_adf(*nodes: dict[str, Any]) -> str:
    document = {"type": "doc", "version": 1, "content": nodes}
    return to_markdown({"atlas_doc_format": {"value": json.dumps(document)}}, SITE)


def text(words: str, *marks: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": words, "marks": list(marks)}


def paragraph(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"type": "paragraph", "content": list(nodes)}


def macro(kind: str, inside: str = "", **parameters: str) -> str:
    shown = "".join(f'<ac:parameter ac:name="{k}">{v}</ac:parameter>' for k, v in parameters.items())
    return f'<ac:structured-macro ac:name="{kind}" ac:macro-id="7f">{shown}{inside}</ac:structured-macro>'


def rich(inside: str) -> str:
    return f"<ac:rich-text-body>{inside}</ac:rich-text-body>"


def plain(inside: str) -> str:
    return f"<ac:plain-text-body><![CDATA[{inside}]]></ac:plain-text-body>"


@pytest.mark.parametrize("form", list(WRITTEN))
def test_a_page_is_the_same_markdown_from_every_form(form: str) -> None:
    value = WRITTEN[form] if isinstance(WRITTEN[form], str) else json.dumps(WRITTEN[form])
    assert to_markdown({form: {"representation": form, "value": value}}, SITE) == MARKDOWN


@pytest.mark.parametrize(
    ("xhtml", "markdown"),
    [
        *((f"<h{n}>Title</h{n}>", f"{'#' * n} Title") for n in range(1, 7)),
        ("<p>a<sub>2</sub> b<sup>3</sup> <u>c</u> <big>d</big> <small>e</small></p>", "a2 b3 c d e"),
        (
            '<p><span style="color: rgb(255,0,0);">red</span> <b>bold</b> <i>slanted</i></p>',
            "red **bold** *slanted*",
        ),
        ("<pre>two\n  lines</pre>", "```\ntwo\n  lines\n```"),
        ("<p>caf&eacute; &ldquo;&hellip;&rdquo; &rarr; &euro;</p>", "café “…” → €"),
        # links
        (
            (
                '<ac:link><ri:page ri:space-key="OPS" ri:content-title="Data pipeline" />'
                "<ac:plain-text-link-body><![CDATA[over < there]]></ac:plain-text-link-body></ac:link>"
            ),
            f"[over < there]({WIKI}/spaces/OPS/pages/1/Data+pipeline)",
        ),
        (
            '<p><ac:link><ri:page ri:content-title="Not readable" /></ac:link> is no link</p>',
            "Not readable is no link",
        ),
        ('<ac:link><ri:blog-post ri:content-title="First" ri:posting-day="2012/01/30" /></ac:link>', "First"),
        (
            '<ac:link><ri:blog-post ri:content-title="Version 3" ri:posting-day="2012/01/30" /></ac:link>',
            f"[Version 3]({WIKI}/spaces/ENG/blog/3/Version+3)",
        ),
        ('<ac:link><ri:attachment ri:filename="plan.pdf" /></ac:link>', "plan.pdf"),
        (
            (
                '<ac:link><ri:attachment ri:filename="plan.pdf" /><ac:link-body><em>the</em>'
                " plan</ac:link-body></ac:link>"
            ),
            "*the* plan",
        ),
        ('<ac:link><ri:space ri:space-key="OPS" /></ac:link>', "OPS"),
        ('<ac:link><ri:user ri:account-id="gone" /></ac:link>', "@gone"),
        ('<ac:link ac:anchor="top"><ac:link-body>up</ac:link-body></ac:link>', "[up](#top)"),
        ('<ac:link ac:anchor="top" />', "[top](#top)"),
        (
            '<a href="https://example.com" data-card-appearance="inline">https://example.com</a>',
            "<https://example.com>",
        ),
        # images
        (
            (
                '<ac:image ac:width="9"><ri:attachment ri:filename="a.png" /><ac:caption><p>See A</p>'
                "</ac:caption></ac:image>"
            ),
            "![a.png](a.png)\n\nSee A",
        ),
        # emoji
        ('<ac:emoticon ac:name="smile" />', ":smile:"),
        (
            (
                '<ac:emoticon ac:name="cross" ac:emoji-shortname=":cross_mark:" '
                'ac:emoji-fallback=":cross_mark:" />'
            ),
            ":cross_mark:",
        ),
        # macros with a body
        *(
            (macro(name, rich("<p>Mind.</p>")), f"> **{name.title()}**\n>\n> Mind.")
            for name in ("info", "tip", "note", "warning")
        ),
        (
            macro("info", rich("<p>Mind.</p>"), title="The <gap>".replace("<", "&lt;"), icon="false"),
            "> **Info: The <gap>**\n>\n> Mind.",
        ),
        (macro("panel", rich("<p>Mind.</p>"), bgColor="#fff", title="Gap"), "> **Gap**\n>\n> Mind."),
        (macro("panel", rich("<p>Mind.</p>"), bgColor="#fff"), "> Mind."),
        (
            macro("code", plain("a]]]]><![CDATA[>b"), language="java", title="A.java", linenumbers="true"),
            "**A.java**\n\n```java\na]]>b\n```",
        ),
        (macro("noformat", plain("<as> it\tis")), "```\n<as> it\tis\n```"),
        (macro("html", plain("<p>raw</p>")), "```\n<p>raw</p>\n```"),
        *(
            (macro(name, rich("<p>Kept.</p>"), hidden="true"), "Kept.")
            for name in ("excerpt", "details", "section", "column", "toc-zone", "an-app-of-theirs")
        ),
        (macro("info", rich(macro("code", plain("x"), language="sh"))), "> **Info**\n>\n> ```sh\n> x\n> ```"),
        # macros without a body
        (macro("status", title="DONE", colour="Green"), "DONE"),
        (macro("jira", key="OPS-1", server="System JIRA", serverId="0a"), "OPS-1"),
        (macro("widget", url='<ri:url ri:value="https://example.com/v" />'), "<https://example.com/v>"),
        (
            macro("include", **{"": '<ac:link><ri:page ri:content-title="Data pipeline" /></ac:link>'}),
            f"[Data pipeline]({WIKI}/spaces/ENG/pages/67141/Data+pipeline)",
        ),
        (
            macro("excerpt-include", **{"": '<ri:page ri:content-title="Data pipeline" />'}),
            f"[Data pipeline]({WIKI}/spaces/ENG/pages/67141/Data+pipeline)",
        ),
        (macro("view-file", name='<ri:attachment ri:filename="plan.pdf" />', height="250"), "plan.pdf"),
        (macro("profile", user='<ri:user ri:account-id="u1" />'), "@Ann"),
        *(
            (macro(name, maxLevel="3", sort="title"), "")
            for name in (
                "toc",
                "anchor",
                "children",
                "attachments",
                "recently-updated",
                "pagetree",
                "contentbylabel",
                "gallery",
            )
        ),
        ('<ac:macro ac:name="anchor"><ac:default-parameter>here</ac:default-parameter></ac:macro>', ""),
        # elements of the new editor have two forms, one of which is kept
        (
            (
                '<ac:adf-extension><ac:adf-node type="panel"><ac:adf-attribute key="panel-type">'
                "success</ac:adf-attribute>"
                "<ac:adf-content><p>It works.</p></ac:adf-content></ac:adf-node>"
                '<ac:adf-fallback><div class="panel"><p>It works.</p></div></ac:adf-fallback>'
                "</ac:adf-extension>"
            ),
            "> **Success**\n>\n> It works.",
        ),
        (
            (
                '<ac:adf-extension><ac:adf-node type="decision-list"><ac:adf-node type="decision-item">'
                '<ac:adf-attribute key="state">DECIDED</ac:adf-attribute><ac:adf-content>'
                "Two queues</ac:adf-content></ac:adf-node>"
                '</ac:adf-node><ac:adf-fallback><ul class="decision-list"><li>Two queues</li></ul>'
                "</ac:adf-fallback>"
                "</ac:adf-extension>"
            ),
            "- Decision: Two queues",
        ),
        (
            (
                '<ac:adf-extension><ac:adf-node type="extension"><ac:adf-attribute key="extension-key">'
                "x</ac:adf-attribute>"
                "</ac:adf-node><ac:adf-fallback><p>Shown instead</p></ac:adf-fallback></ac:adf-extension>"
            ),
            "Shown instead",
        ),
        # tables
        (
            '<table><tbody><tr><th>A</th><th>B</th></tr><tr><td colspan="2">1</td></tr></tbody></table>',
            "| A | B |\n| --- | --- |\n| 1 | |",
        ),
        (
            "<table><tbody><tr><td><p>a</p><p>b</p></td><td>x<br />y</td></tr></tbody></table>",
            "|  |  |\n| --- | --- |\n| a  b | x y |",
        ),
        (
            (
                '<table><tbody><tr><th>A</th><th>B</th></tr><tr><td rowspan="3">1</td><td>2</td></tr><tr>'
                "<td>3</td></tr>"
                "<tr><td>4</td></tr><tr><td>5</td><td>6</td></tr></tbody></table>"
            ),
            "| A | B |\n| --- | --- |\n| 1 | 2 |\n| 1 | 3 |\n| 1 | 4 |\n| 5 | 6 |",
        ),
        # elements that only the writer sees
        ("<p>a<ac:placeholder>Write here</ac:placeholder></p>", "a"),
        ('<at:declarations><at:string at:name="x" /></at:declarations><p>b</p>', "b"),
        ('<p>c <ac:inline-comment-marker ac:ref="1">marked</ac:inline-comment-marker> d</p>', "c marked d"),
        # empty bodies
        ("", ""),
        ("<p />", ""),
    ],
)
def test_storage_format(xhtml: str, markdown: str) -> None:
    assert from_storage(xhtml) == markdown


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        (
            (
                '<div class="panel"><div class="panelHeader"><b>Gap</b></div><div class="panelContent"><p>'
                "Mind.</p></div></div>"
            ),
            "> **Gap**\n>\n> Mind.",
        ),
        (
            (
                '<div class="confluence-information-macro confluence-information-macro-tip">'
                '<p class="title conf-macro-render">'
                'Gap</p><span class="aui-icon"></span><div class="confluence-information-macro-body"><p>'
                "Mind.</p></div></div>"
            ),
            "> **Tip: Gap**\n>\n> Mind.",
        ),
        (
            (
                '<div class="code panel pdl"><div class="codeHeader panelHeader pdl"><b>A.java</b></div>'
                '<div class="codeContent">'
                '<pre class="syntaxhighlighter-pre" data-syntaxhighlighter-params="brush: java; gutter: '
                'false">a</pre></div></div>'
            ),
            "**A.java**\n\n```java\na\n```",
        ),
        ('<div class="toc-macro"><ul><li><a href="#x">x</a></li></ul></div><p>a</p>', "a"),
        ('<img class="emoticon" alt="(tick)" src="/wiki/t.png">', "(tick)"),
        (
            (
                '<a class="confluence-userlink user-mention" data-account-id="u1" href="/wiki/people/u1">'
                "@A. Nonymous</a>"
            ),
            "@Ann",
        ),
        (
            '<img class="confluence-embedded-image" src="/wiki/download/a.png" alt="A">',
            "![A](https://norrvik.example/wiki/download/a.png)",
        ),
        (
            (
                "<html><head><style>p {color: red}</style></head><body><p>a</p><script>b()</script></body>"
                "</html>"
            ),
            "a",
        ),
    ],
)
def test_rendered_html(html: str, markdown: str) -> None:
    assert from_view(html) == markdown


@pytest.mark.parametrize(
    ("node", "markdown"),
    [
        (paragraph({"type": "mention", "attrs": {"id": "gone", "text": "@Who"}}), "@Who"),
        (paragraph({"type": "emoji", "attrs": {"shortName": ":grin:"}}), ":grin:"),
        (
            paragraph({"type": "inlineCard", "attrs": {"url": "https://example.com/a?b=1&c=2"}}),
            "<https://example.com/a?b=1&c=2>",
        ),
        ({"type": "blockCard", "attrs": {"data": {"url": "https://example.com"}}}, "<https://example.com>"),
        (
            {"type": "embedCard", "attrs": {"url": "https://example.com", "layout": "wide"}},
            "<https://example.com>",
        ),
        (
            {
                "type": "mediaSingle",
                "content": [
                    {"type": "media", "attrs": {"type": "file", "id": "7f", "alt": "a.png"}},
                    {"type": "caption", "content": [text("See A")]},
                ],
            },
            "![a.png](7f)\n\nSee A",
        ),
        (
            {"type": "mediaGroup", "content": [{"type": "media", "attrs": {"type": "file", "id": "7f"}}]},
            "![](7f)",
        ),
        (paragraph({"type": "mediaInline", "attrs": {"id": "7f", "alt": "a.pdf"}}), "![a.pdf](7f)"),
        (
            {"type": "decisionList", "content": [{"type": "decisionItem", "content": [text("Two queues")]}]},
            "- Decision: Two queues",
        ),
        (
            {
                "type": "taskList",
                "content": [
                    {
                        "type": "blockTaskItem",
                        "attrs": {"state": "DONE"},
                        "content": [paragraph(text("Done"))],
                    }
                ],
            },
            "- [x] Done",
        ),
        (
            {"type": "nestedExpand", "attrs": {"title": "More <"}, "content": [paragraph(text("inside"))]},
            "**More <**\n\ninside",
        ),
        *(
            (
                {"type": "panel", "attrs": {"panelType": kind}, "content": [paragraph(text("a"))]},
                f"> **{kind.title()}**\n>\n> a",
            )
            for kind in ("info", "note", "tip", "warning", "error", "success", "custom")
        ),
        ({"type": "codeBlock", "content": [text("a < b\n  c")]}, "```\na < b\n  c\n```"),
        (
            {
                "type": "extension",
                "attrs": {"extensionKey": "toc", "text": "Contents", "parameters": {"macroParams": {}}},
            },
            "",
        ),
        (
            paragraph(
                {
                    "type": "inlineExtension",
                    "attrs": {
                        "extensionKey": "jira",
                        "parameters": {
                            "macroParams": {"key": {"value": "OPS-1"}, "serverId": {"value": "0a"}}
                        },
                    },
                }
            ),
            "OPS-1",
        ),
        (
            {
                "type": "bodiedExtension",
                "attrs": {"extensionKey": "excerpt"},
                "content": [paragraph(text("Kept."))],
            },
            "Kept.",
        ),
        (
            {
                "type": "multiBodiedExtension",
                "content": [{"type": "extensionFrame", "content": [paragraph(text("Tab"))]}],
            },
            "Tab",
        ),
        (
            {"type": "confluenceUnsupportedBlock", "attrs": {"cxhtml": macro("info", rich("<p>Old</p>"))}},
            "> **Info**\n>\n> Old",
        ),
        (paragraph({"type": "confluenceJiraIssue", "attrs": {"issueKey": "OPS-2"}}), "OPS-2"),
        (paragraph({"type": "placeholder", "attrs": {"text": "Write here"}}, text("a")), "a"),
        (
            {"type": "someday", "content": [paragraph(text("New, and read all the same."))]},
            "New, and read all the same.",
        ),
        (
            paragraph(
                text(
                    "a",
                    {"type": "underline"},
                    {"type": "textColor", "attrs": {"color": "#f00"}},
                    {"type": "strong"},
                )
            ),
            "**a**",
        ),
        (paragraph(text("a|b <i>*")), "a|b <i>\\*"),
    ],
)
def test_atlas_doc_format(node: dict[str, Any], markdown: str) -> None:
    assert from_adf(node) == markdown


@pytest.mark.parametrize(
    "body", [{}, {"storage": None}, {"storage": {}}, {"atlas_doc_format": {"value": ""}}]
)
def test_a_page_without_a_body_has_no_text(body: dict[str, Any]) -> None:
    assert to_markdown(body, SITE) == ""


def test_a_body_that_is_nested_too_deeply_becomes_plain_text() -> None:
    assert from_storage("<div>" * 3_000 + "deep" + "</div>" * 3_000) == "deep"


@pytest.mark.parametrize(
    "node",
    [
        {"type": "heading", "content": [text("kept")]},
        {"type": "panel", "attrs": {"panelType": None}, "content": [paragraph(text("kept"))]},
        {"attrs": {}, "content": [text("kept")]},
        {
            "type": ["paragraph"],
            "content": [text("kept"), None, "x", {"type": "date", "attrs": {"timestamp": 1e30}}],
        },
        {**text("kept"), "marks": [{"type": "link"}, {"type": []}, None]},
        {**text("kept"), "marks": 3},
        paragraph(text("kept"), {"type": "status"}, {"type": "mention", "attrs": {}}, {"type": "text"}),
    ],
    ids=json.dumps,
)
def test_an_odd_node_becomes_its_content(node: dict[str, Any]) -> None:
    assert from_adf(node) == "kept"


def test_a_body_that_cannot_be_converted_is_named_and_the_others_arrive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = {
        "1": "",
        "2": '{"storage": {"value": "a<![CDA\\" < y ]]>"}}',
        "3": '{"storage": {"value": "c"}}',
    }
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE site_info AS SELECT 'https://norrvik.example/wiki' AS baseUrl")
        connection.execute("CREATE TABLE bodies (document_key text, body text)")
        connection.executemany("INSERT INTO bodies VALUES (?, ?)", [*bodies.items()])
        empty = ["title", "path", "url", "last_modified", "labels", "may_see", "space", "subtype"]
        columns = ", ".join(f"NULL AS {name}" for name in empty)
        connection.execute(f"CREATE VIEW text_for_ai AS SELECT *, 'page' AS type, {columns} FROM bodies")
        write(connection, tmp_path / "documents.jsonl")
    lines = (tmp_path / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["content"] for line in lines] == ["", None, "c"]
    sentence = "page 2 has no content: its body cannot be converted (ParserRejectedMarkup).\n"
    assert capsys.readouterr().err == sentence
