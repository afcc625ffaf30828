"""One look for every picture: sizes, colours that colour-blind readers can tell apart, axes."""

from contextlib import AbstractContextManager
from typing import Any, Literal, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

LineStyle = Literal["-", "--", ":"]

BEFORE, AFTER = "#8d96a0", "#0072b2"
INK, FAINT = "#24292f", "#d8dee4"
# Okabe and Ito's palette (2008) without yellow and grey, which vanish on white.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a4fa3", "#24292f")
MARKERS = ("o", "^", "s")

RC = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": "#57606a",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": "#57606a",
    "ytick.color": "#57606a",
    "text.color": INK,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "savefig.facecolor": "white",
}


def applied() -> AbstractContextManager[None]:
    """matplotlib's defaults replaced by ours while figures are made and saved."""
    return matplotlib.rc_context(cast(Any, RC))


def language_look(index: int) -> tuple[str, str]:
    """Colour and marker of the index-th language: colour alone would repeat after eight."""
    return PALETTE[index % len(PALETTE)], MARKERS[index // len(PALETTE) % len(MARKERS)]


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches that lays itself out."""
    # Room between panels: with matplotlib's 0.04 inch a title touches the axis above it.
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    return Figure(figsize=(width, height), dpi=150, layout=layout)


def write_clearly(text: Text) -> None:
    """A white rim, so that lines behind the text do not cross its letters."""
    text.set_path_effects([withStroke(linewidth=3, foreground="white")])


def hide_axes(axes: Axes) -> None:
    """No ticks, grid or numbers: for pictures whose coordinates mean nothing."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=FAINT)
