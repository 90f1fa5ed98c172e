"""The results as a picture: Vega-Lite draws it, as it does the demo's report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import vl_convert

from benchmarks.goals import Known, Results
from benchmarks.readers import BARE, CONNECTOR, DLT, DLT_SPACES, LLAMAINDEX, READERS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    Spec = dict[str, Any]

INK, FAINT = "#1f2933", "#7b8794"
COLOURS = {
    CONNECTOR: "#0c66e4",
    DLT: "#8590a2",
    DLT_SPACES: "#b3b9c4",
    BARE: "#dcdfe4",
    LLAMAINDEX: "#e2b203",
}
LABELS = {name: READERS[name].label for name in COLOURS}
LATENCIES = {"latency-0": "0 ms", "latency-50": "50 ms", "latency-200": "200 ms", "latency-800": "800 ms"}
SPACES = {
    "spaces-1": "1",
    "spaces-20": "20",
    "latency-50": "200",
    "spaces-2000": "2,000",
    "skewed": "200, one with 80 %",
}
SIZES = {"pages-2000": "2,000 pages", "latency-0": "20,000 pages", "pages-200000": "200,000 pages"}
LARGE = 30  # from here on the tenths say nothing
STYLE = {
    "background": "white",
    "padding": 12,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "title": {"anchor": "start", "fontSize": 15, "color": INK, "offset": 10},
    "legend": {"title": None, "orient": "top", "labelFontSize": 13, "labelColor": INK, "labelLimit": 300},
    "axis": {
        "title": None,
        "grid": False,
        "ticks": False,
        "domainColor": BARE,
        "labelPadding": 6,
        "labelFontSize": 12,
        "labelColor": INK,
    },
}


def draw(results: Results, path: Path) -> None:
    """Draw time by latency, time by number of spaces and memory by size, as far as there are results."""
    path.write_text(vl_convert.vegalite_to_svg(picture(results)), encoding="utf-8")


def picture(results: Results) -> Spec:
    """Return the picture as Vega-Lite takes it."""
    known = Known(results)
    latencies = [
        {
            **_bars(known, {name: label}, "wall", COLOURS, 30 * len(COLOURS)),
            "title": {"text": label, "fontSize": 13},
        }
        for name, label in LATENCIES.items()
    ]
    spaces = _bars(known, SPACES, "wall", (CONNECTOR, DLT, DLT_SPACES), 360)
    sizes = _bars(known, SIZES, "memory", (CONNECTOR, DLT, BARE), 360)
    upper = "Seconds to read 20,000 pages in 200 spaces, by how long Confluence takes to answer"
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "config": STYLE,
        "spacing": 30,
        "align": "none",
        "resolve": {"scale": {"yOffset": "independent"}},
        "vconcat": [
            {"title": upper, "spacing": 24, "hconcat": latencies},
            {
                "spacing": 60,
                "align": "none",
                "resolve": {"scale": {"yOffset": "independent"}},
                "hconcat": [
                    {**spaces, "title": "Seconds at 50 ms, by number of spaces"},
                    {**sizes, "title": "Peak memory in MB, by size of the site"},
                ],
            },
        ],
    }


def _bars(known: Known, groups: dict[str, str], what: str, readers: Iterable[str], height: int) -> Spec:
    """Return bars of what each reader took, in groups from top to bottom, each with its value beside it."""
    shown = [LABELS[reader] for reader in readers]
    rows: list[Spec] = [
        {
            "group": label,
            "reader": LABELS[reader],
            "value": (value := known.median(name, what, reader)),
            "text": f"{value:.0f}" if value >= LARGE else f"{value:.1f}",
        }
        for name, label in groups.items()
        for reader in readers
        if known(name, reader)
    ]
    several = len(groups) > 1
    place = {"field": "reader", "scale": {"domain": shown, "paddingInner": 0.15, "paddingOuter": 0}}
    where = {
        "y": {
            "field": "group",
            "sort": list(groups.values()),
            "scale": {"paddingInner": 0.25, "paddingOuter": 0},
            "axis": {} if several else {"labels": False},
        },
        "yOffset": place,
        # Room for the numbers beside the bars.
        "x": {
            "field": "value",
            "type": "quantitative",
            "axis": None,
            "scale": {"domainMax": 1.2 * max((row["value"] for row in rows), default=1)},
        },
    }
    colours = {"domain": list(LABELS.values()), "range": list(COLOURS.values())}
    ours = {"test": f"datum.reader == '{LABELS[CONNECTOR]}'"}
    return {
        "data": {"values": rows},
        "width": 420 if several else 214,
        "height": height,
        "encoding": where,
        "layer": [
            {"mark": "bar", "encoding": {"color": {"field": "reader", "scale": colours}}},
            {
                "mark": {"type": "text", "align": "left", "dx": 5, "fontSize": 12},
                "encoding": {
                    "text": {"field": "text"},
                    "color": {"condition": {**ours, "value": COLOURS[CONNECTOR]}, "value": FAINT},
                },
            },
        ],
    }
