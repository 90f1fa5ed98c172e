"""Draw a report of a synced site: one HTML page that needs no network and runs no script.

    python -m tools.report demo/confluence.duckdb demo/report.html

Everything in it comes from the recipes. Vega-Lite draws the charts as SVG; their colours are variables of the
page, so that they follow it from light to dark.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import vl_convert
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from tools.database import opened
from tools.recipes import create_views, missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WIDTH = 770
TEXT = {"labelColor": "var(--soft)", "titleColor": "var(--soft)", "labelFontSize": 12, "titleFontSize": 12}
STYLE = {
    "background": None,
    "padding": {"left": 22, "right": 5, "top": 5, "bottom": 5},  # the page's font is wider than Vega's
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        **TEXT,
        "titleFontWeight": "normal",
        "grid": False,
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
    },
    "legend": {
        **TEXT,
        "orient": "top",
        "title": None,
        "symbolType": "square",
        "offset": 8,
        "columnPadding": 20,
    },
    "bar": {"color": "var(--sea)"},
    "text": {"color": "var(--soft)", "fontSize": 12},
}
SHORT = {"labelLimit": 150, "title": None}

# The first questions: is it complete, is it up to date, who can see what.
ASKED = {
    "syncs": """
        SELECT count(*) AS streams, strftime(max(finished), '%Y-%m-%d %H:%M') AS finished,
          string_agg(stream, ', ' ORDER BY stream) FILTER (WHERE status <> 'COMPLETE') AS failed
        FROM _syncs HAVING count(*) > 0""",
    "pages": """
        SELECT count(*) FILTER (WHERE now = 'current') AS current,
          count(*) FILTER (WHERE now = 'missing') AS missing,
          count(*) FILTER (WHERE now = 'outdated') AS outdated,
          count(*) FILTER (WHERE deleted) AS deleted,
          count(*) FILTER (WHERE now = 'absent') AS absent,
          count(*) FILTER (WHERE now = 'held back') AS held_back,
          count(*) FILTER (WHERE now = 'unknown') AS unknown
        FROM deletions""",
    "seen": """
        SELECT count(*) AS pages, count(*) FILTER (WHERE lists > 0) AS restricted,
          count(*) FILTER (WHERE lists IS NULL AND why IS NULL) AS unseen
        FROM page_index p LEFT JOIN (SELECT DISTINCT id, lists FROM who_can_see) s ON s.id = p.id
        LEFT JOIN unknown_readers u ON u.id = p.id WHERE p.status = 'current'""",
    "unknown": """
        SELECT sum(n)::BIGINT AS pages, string_agg(why || ': ' || n, ', ' ORDER BY why) AS reasons
        FROM (SELECT why, count(*) AS n FROM unknown_readers GROUP BY why)""",
}
# The query of each part of the report. At most fifteen rows of a kind, so that the charts stay readable.
QUERIES = {
    "months": """
        WITH busiest AS (
          SELECT space FROM edits_by_month GROUP BY space ORDER BY sum(new_pages + edits) DESC, space LIMIT 15
        )
        SELECT space, month::VARCHAR AS month, new_pages + edits AS saved FROM edits_by_month
        WHERE space IN (FROM busiest) AND month > (SELECT max(month) FROM edits_by_month) - INTERVAL 5 YEAR
        ORDER BY space, month""",
    "spaces": """
        SELECT *, max(pages) OVER () AS most FROM spaces_alive ORDER BY pages DESC, space LIMIT 15""",
    "contributors": """
        SELECT person AS across, kind, n FROM (
          UNPIVOT (FROM contributors ORDER BY new_pages + edits + comments DESC, person LIMIT 15)
          ON new_pages AS "new pages", edits, comments INTO NAME kind VALUE n)""",
    "ages": """
        WITH largest AS (
          SELECT space, count(*) AS most FROM page_ages GROUP BY space ORDER BY most DESC, space LIMIT 15
        )
        SELECT space AS across, CASE WHEN days <= 90 THEN 'under 3 months' WHEN days <= 365 THEN 'under a year'
          WHEN days <= 730 THEN 'under 2 years' ELSE 'longer' END AS kind, count(*) AS n
        FROM page_ages JOIN largest USING (space) GROUP BY space, kind, most ORDER BY most DESC, space""",
    "stalest": """
        FROM page_ages WHERE days > 365 ORDER BY days DESC, title LIMIT 10""",
    "access": """
        SELECT space, operation, list_sort(list(DISTINCT {'kind': kind, 'name': holder})) AS holders
        FROM space_access
        WHERE operation IN ('read space', 'create page', 'delete page', 'administer space')
          AND space IN (SELECT space FROM spaces_alive ORDER BY pages DESC, space LIMIT 15)
        GROUP BY ALL ORDER BY space, operation""",
    "hidden": """
        WITH everybody AS (
          SELECT count(*) AS everybody FROM users WHERE accountType = 'atlassian' AND accountStatus = 'active'
        )
        SELECT page, space, lists, everybody, count(*) AS people,
          string_agg(person, ', ' ORDER BY person) AS names
        FROM who_can_see, everybody WHERE lists > 0
        GROUP BY space, id, page, lists, everybody ORDER BY people, page, id LIMIT 15""",
    "labels": """
        SELECT label AS across, kind, n FROM (
          UNPIVOT (FROM label_counts WHERE pages + posts + attachments > 0
            ORDER BY pages + posts + attachments DESC, label LIMIT 15)
          ON pages, posts, attachments INTO NAME kind VALUE n)""",
}
COUNTED = {
    "spaces": "FROM space",
    "pages": "FROM pages",
    "posts": "FROM blog_posts",
    "comments": "FROM (SELECT id FROM footer_comments UNION SELECT id FROM inline_comments)",
    "files": "FROM attachments",
    "people": "FROM users",
}


@dataclass
class Part:
    """The result of one query.

    Attributes:
        rows: Its rows, as dictionaries.
        lacks: The missing stream, if the query failed.
        chart: The chart, if there is one.

    """

    rows: list[dict[str, Any]]
    lacks: str = ""
    chart: str = ""


def write(database: Path, page: Path) -> None:
    """Draw the report of a database that has a table for each stream."""
    with opened(database, read_only=True) as connection:
        page.write_text(report(connection), encoding="utf-8")


def report(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the report as HTML."""
    lacking = create_views(connection, "TEMP VIEW")
    parts = {name: ask(connection, query, lacking) for name, query in QUERIES.items()}
    for name, draw in CHARTS.items():
        if parts[name].rows:
            parts[name].chart = drawn(draw(parts[name].rows), name)
    asked = {name: ask(connection, query, lacking) for name, query in ASKED.items()}
    counts = {
        what: ask(connection, f"SELECT count(*) AS n {source}", lacking) for what, source in COUNTED.items()
    }
    title = ask(connection, "SELECT siteTitle FROM site_info", {}).rows
    newest = ask(connection, "SELECT max(last_edit)::VARCHAR AS day FROM spaces_alive", lacking).rows
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    return environment.get_template("report.html").render(
        parts=parts,
        asked={name: part.rows[0] for name, part in asked.items() if part.rows},
        counts=counts,
        title=(title and title[0]["siteTitle"]) or "Confluence",
        newest=newest and newest[0]["day"],
        operations=["read space", "create page", "delete page", "administer space"],
        access=by_space(parts["access"].rows),
    )


def ask(connection: duckdb.DuckDBPyConnection, query: str, lacking: dict[str, str]) -> Part:
    """Return the result of a query, or the missing stream."""
    try:
        result = connection.execute(query)
    except duckdb.CatalogException as error:
        name = missing(error)
        return Part([], lacking.get(name, name))
    columns = [name for name, *_ in result.description or []]
    return Part([dict(zip(columns, row, strict=True)) for row in result.fetchall()])


def by_space(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the holders of each permission, by space."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(row["space"], {})[row["operation"]] = row["holders"]
    return found


# ------------------------------------------------------------------ charts


def drawn(chart: dict[str, Any], name: str) -> Markup:
    """Draw a chart as SVG."""
    svg = vl_convert.vegalite_to_svg({**chart, "config": STYLE})
    # Vega writes the description of a mark to aria-label; a title is also shown as a tooltip.
    svg = re.sub(r'<path aria-label="([^"]*)"([^>]*)/>', r"<path\2><title>\1</title></path>", svg)
    # Ids start from one in every chart, and all charts are on one page.
    svg = re.sub(r'(id="|url\(#)(\w+)', rf"\1{name}-\2", svg)
    return Markup(svg)  # noqa: S704 - Vega has escaped the values


def months(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a heat map of spaces and months, with the sums at its edges."""
    busy = {"field": "saved", "type": "quantitative", "aggregate": "sum"}
    month = {"field": "month", "type": "ordinal", "timeUnit": "utcyearmonth"}
    year = {
        "labelExpr": "utcmonth(datum.value) == 0 ? utcFormat(datum.value, '%Y') : ''",
        "labelAngle": 0,
        "labelOverlap": False,
    }
    space = {
        "field": "space",
        "type": "nominal",
        "sort": {"field": "saved", "op": "sum", "order": "descending"},
    }
    top = {
        "width": WIDTH - 110,
        "height": 70,
        "mark": {"type": "bar", "opacity": 0.75, "aria": False},
        "encoding": {"x": {**month, "axis": None}, "y": {**busy, "axis": {"title": None, "tickCount": 2}}},
    }
    field = {
        "width": WIDTH - 110,
        "height": {"step": 22},
        "mark": {
            "type": "rect",
            "color": "var(--sea)",
            "cornerRadius": 2,
            "stroke": "var(--paper)",
            "strokeWidth": 2,
        },
        "encoding": {
            "x": {**month, "axis": {**year, "title": None}},
            "y": {**space, "axis": SHORT},
            "opacity": {**busy, "scale": {"range": [0.2, 1]}, "legend": None},
            "description": {"field": "says"},
        },
    }
    right = {
        "width": 110,
        "height": {"step": 22},
        "encoding": {"y": {**space, "axis": None}, "x": {**busy, "axis": None}},
        "layer": [
            {"mark": {"type": "bar", "height": 12, "aria": False}},
            {"mark": {"type": "text", "align": "left", "dx": 5}, "encoding": {"text": busy}},
        ],
    }
    below = {"hconcat": [field, right], "spacing": 14, "bounds": "flush"}
    shown = [{**row, "says": f"{row['space']}, {row['month'][:7]}: {row['saved']}"} for row in rows]
    return {"data": {"values": shown}, "vconcat": [top, below], "spacing": 6, "bounds": "flush"}


def stacked(colours: dict[str, str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return stacked bars.

    Args:
        colours: The colours of the kinds, in their order.
        rows: One for each part of a bar: what the bar stands for (`across`), `kind` and `n`.

    """
    order = {kind: n for n, kind in enumerate(colours)}
    shown = [
        {**row, "order": order[row["kind"]], "says": f"{row['across']}, {row['kind']}: {row['n']}"}
        for row in rows
    ]
    bars = list(dict.fromkeys(row["across"] for row in rows))
    scale = {"domain": list(colours), "range": [f"var(--{colour})" for colour in colours.values()]}
    axis = {"title": None, "tickCount": 5}
    return {
        "data": {"values": shown},
        "width": WIDTH,
        "height": {"step": 24},
        "mark": {"type": "bar", "height": 14, "stroke": "var(--paper)", "strokeWidth": 1},
        "encoding": {
            "y": {"field": "across", "type": "nominal", "sort": bars, "axis": SHORT},
            "x": {"field": "n", "type": "quantitative", "stack": "zero", "axis": axis},
            "color": {"field": "kind", "type": "nominal", "scale": scale},
            "order": {"field": "order"},
            "description": {"field": "says"},
        },
    }


AGES = {"under 3 months": "sea", "under a year": "sky", "under 2 years": "sand", "longer": "rust"}
CHARTS: dict[str, Callable[[list[dict[str, Any]]], dict[str, Any]]] = {
    "months": months,
    "contributors": partial(stacked, {"new pages": "sea", "edits": "sky", "comments": "sand"}),
    "ages": partial(stacked, AGES),
    "labels": partial(stacked, {"pages": "sea", "posts": "sky", "attachments": "sand"}),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path, help="the DuckDB file")
    parser.add_argument("page", type=Path, help="the HTML file to write")
    args = parser.parse_args()
    write(args.database, args.page)
