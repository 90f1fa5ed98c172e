"""The results as a picture."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks.readers import BARE, CONNECTOR, DLT, DLT_SPACES, READERS

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.goals import Results

INK, FAINT = "#1f2933", "#7b8794"
COLOURS = {
    CONNECTOR: "#0c66e4",
    DLT: "#8590a2",
    DLT_SPACES: "#b3b9c4",
    BARE: "#dcdfe4",
    "llamaindex": "#e2b203",
    "upstream": "#e56910",
}
LATENCIES = {"latency-0": "0 ms", "latency-50": "50 ms", "latency-200": "200 ms", "latency-800": "800 ms"}
SPACES = {
    "spaces-1": "1",
    "spaces-20": "20",
    "latency-50": "200",
    "spaces-2000": "2,000",
    "skewed": "200, one\nwith 80 %",
}
SIZES = {"pages-2000": "2,000\npages", "latency-0": "20,000\npages", "pages-200000": "200,000\npages"}
HEADING: dict[str, Any] = {"ha": "left", "fontsize": 13, "fontweight": "bold"}
LARGE = 30  # from here on the tenths say nothing
# Text stays text, which keeps the file small; and the same results give the same file.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.family": "sans-serif", "text.color": INK}


def draw(results: Results, path: Path) -> None:
    """Draw time by latency, time by number of spaces and memory by size, as far as there are results."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 7.6), facecolor="white")
        upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.25])
        left, right = lower.subfigures(1, 2)
        upper.suptitle(
            "Seconds to read 20,000 pages in 200 spaces, by how long Confluence takes to answer",
            x=0.03,
            **HEADING,
        )
        left.suptitle("Seconds at 50 ms, by number of spaces", x=0.06, **HEADING)
        right.suptitle("Peak memory in MB, by size of the site", x=0.06, **HEADING)
        readers = [
            name for name in COLOURS if any(name in results.get(key, {}).get("runs", {}) for key in LATENCIES)
        ]
        for axes, (name, label) in zip(upper.subplots(1, 4), LATENCIES.items(), strict=True):
            _bars(axes, results, {name: ""}, "wall", readers)
            axes.set_title(label, loc="left", fontsize=11)
            axes.set_ylim(len(readers) - 0.4, -0.6)
        _bars(left.subplots(), results, SPACES, "wall", [CONNECTOR, DLT, DLT_SPACES])
        _bars(right.subplots(), results, SIZES, "memory", [CONNECTOR, DLT, BARE])
        upper.subplots_adjust(left=0.03, right=0.97, top=0.74, bottom=0.05, wspace=0.12)
        for part in (left, right):
            part.subplots_adjust(left=0.17, right=0.97, top=0.88, bottom=0.03)
        patches = [Patch(color=COLOURS[name], label=READERS[name].label) for name in readers]
        upper.legend(
            handles=patches, loc="upper left", bbox_to_anchor=(0.02, 0.93), ncols=len(readers), frameon=False
        )
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _bars(axes: Axes, results: Results, groups: dict[str, str], what: str, readers: list[str]) -> None:
    """Draw the medians of groups of readers as bars, from top to bottom, each with its value beside it."""
    place, ticks, largest = 0.0, {}, 0.0
    for name, label in groups.items():
        runs = results.get(name, {}).get("runs", {})
        shown = [
            reader
            for reader in readers
            if runs.get(reader) and not any(run["failure"] for run in runs[reader])
        ]
        if shown:
            ticks[place + (len(shown) - 1) / 2] = label
        for reader in shown:
            value = median(run[what] for run in runs[reader])
            _bar(axes, place, value, reader)
            largest = max(largest, value)
            place += 1
        place += 0.8
    axes.set_xlim(0, largest * 1.18 or 1)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=9.5)
    axes.tick_params(left=False, labelcolor=INK)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(COLOURS[BARE])


def _bar(axes: Axes, place: float, value: float, reader: str) -> None:
    ours = reader == CONNECTOR
    axes.barh(place, value, height=0.86, color=COLOURS[reader])
    axes.annotate(
        f"{value:.0f}" if value >= LARGE else f"{value:.1f}",
        (value, place),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=COLOURS[CONNECTOR] if ours else FAINT,
        fontweight="bold" if ours else "normal",
    )
