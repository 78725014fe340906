"""Figures to pictures: SVG in light and dark.

Matplotlib is imported when something is drawn; the rest of the benchmark does without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import number
from bench.stats import Spread

FOLDER = Path(__file__).parent / "plots"

THEMES = {
    "light": {"ground": "#ffffff", "ink": "#1f2328", "line": "#d1d9e0", "bar": "#9aa4af"},
    "dark": {"ground": "#0d1117", "ink": "#e6edf3", "line": "#3d444d", "bar": "#656c76"},
}
OURS = {"light": "#0969da", "dark": "#4493f8"}


@dataclass(frozen=True, slots=True)
class Bars:
    """Panels side by side, each with a bar for each row.

    ``values`` has a list for each panel, with a spread for each row or ``None``. ``highlight`` is
    the beginning of the names that are ours, among the rows or the panels. ``one_scale`` makes
    panels comparable with each other.
    """

    name: str
    title: str
    panels: Sequence[str]
    rows: Sequence[str]
    values: Sequence[Sequence[Spread | None]]
    highlight: str
    log: bool = False
    one_scale: bool = False


def files(name: str) -> dict[str, str]:
    """Return the file of each theme, relative to the report."""
    return {theme: f"plots/{name}-{theme}.svg" for theme in THEMES}


def picture(bars: Bars) -> str:
    """Return the HTML that shows the picture for the reader's theme."""
    names = files(bars.name)
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{names["dark"]}">'
        f'<img alt="{bars.title}" src="{names["light"]}"></picture>'
    )


def draw(bars: Bars, folder: Path = FOLDER) -> list[Path]:
    """Draw it in each theme; return the files."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    folder.mkdir(exist_ok=True)
    drawn = []
    for theme, colours in THEMES.items():
        settings = {
            "svg.hashsalt": bars.name,  # the same figures give the same file
            "font.family": "sans-serif",
            "font.size": 9,
            "text.color": colours["ink"],
            "axes.edgecolor": colours["line"],
            "axes.facecolor": colours["ground"],
            "axes.labelcolor": colours["ink"],
            "figure.facecolor": colours["ground"],
            "xtick.color": colours["ink"],
            "ytick.color": colours["ink"],
            "grid.color": colours["line"],
        }
        with mpl.rc_context(settings):
            figure, axes = plt.subplots(
                1,
                len(bars.panels),
                figsize=(2.2 + 2.7 * len(bars.panels), 0.9 + 0.27 * len(bars.rows)),
                sharey=True,
                squeeze=False,
                layout="constrained",
            )
            figure.suptitle(bars.title, fontsize=11)
            for panel, axis, spreads in zip(bars.panels, axes[0], bars.values, strict=True):
                _panel(bars, axis, panel, spreads, colours | {"ours": OURS[theme]})
            path = folder / Path(files(bars.name)[theme]).name
            figure.savefig(path, metadata={"Date": None})
            plt.close(figure)
            drawn.append(path)
    return drawn


def _panel(
    bars: Bars, axis: Any, title: str, spreads: Sequence[Spread | None], colours: dict[str, str]
) -> None:
    places = range(len(bars.rows))
    known = [each.median if each else 0.0 for each in spreads]
    fill = [
        colours["ours" if any(name.startswith(bars.highlight) for name in (row, title)) else "bar"]
        for row in bars.rows
    ]
    errors = [
        [each.median - each.low if each else 0 for each in spreads],
        [each.high - each.median if each else 0 for each in spreads],
    ]
    axis.barh(places, known, color=fill, xerr=errors, error_kw={"ecolor": colours["ink"], "lw": 1})
    axis.set_yticks(places, bars.rows)
    axis.set_title(title, fontsize=9)
    axis.set_ylim(len(bars.rows) - 0.5, -0.5)  # the first row at the top
    axis.grid(axis="x", lw=0.5)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    compared = [each for panel in bars.values for each in panel] if bars.one_scale else spreads
    highest = max((each.high for each in compared if each), default=1.0)
    lowest = min((each.low for each in spreads if each and each.low > 0), default=1.0)
    if bars.log:
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter("")  # over less than a decade they lie on each other
        axis.set_xlim(lowest / 2, highest * 6)
    else:
        axis.set_xlim(0, highest * 1.35 or 1)
    for place, each in zip(places, spreads, strict=True):
        text, at = (" -", lowest / 2 if bars.log else 0)
        if each:
            text, at = f" {number(each.median)}", each.high
        axis.text(at, place, text, va="center", fontsize=8, color=colours["ink"])
