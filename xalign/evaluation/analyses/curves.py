"""The picture that analyses with a value a layer and language share: curves over layers, each language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from xalign.base.drawing import AFTER, BEFORE, INK, PALETTE, new_figure
from xalign.evaluation.analyses.base import Findings

Z95 = 1.96
LINES = (BEFORE, AFTER)
"""Of one line or two."""


@dataclass(frozen=True)
class Curve:
    """Values of languages at layers. Shapes: L languages, K layers; NaN where a value is undefined."""

    layers: Sequence[int]
    languages: Sequence[str]
    values: NDArray[np.float64]
    """(L, K)"""
    stderr: NDArray[np.float64] | None = None
    """Of the mean over languages (K,)."""

    @classmethod
    def of(cls, findings: Findings) -> Self:
        """From findings with `layers`, `languages`, `values`, a list a language, and perhaps `stderr`."""
        stderr = findings.get("stderr")
        return cls(
            findings["layers"],
            findings["languages"],
            np.array(findings["values"], dtype=np.float64).reshape(len(findings["languages"]), -1),
            None if stderr is None else np.array(stderr, dtype=np.float64),
        )

    @property
    def means(self) -> NDArray[np.float64]:
        """Over languages (K,); of those where it is defined."""
        defined = np.isfinite(self.values)
        counts = defined.sum(0)
        sums = np.where(defined, self.values, 0).sum(0)
        return np.where(counts, sums / np.maximum(counts, 1), np.nan)

    def ends(self) -> tuple[tuple[float, int], tuple[float, int]]:
        """(lowest mean, its layer), (highest, its layer); NaN where no value is defined."""
        pairs = [(float(m), layer) for m, layer in zip(self.means, self.layers, strict=True) if m == m]
        if not pairs:
            return (np.nan, self.layers[0]), (np.nan, self.layers[0])
        return min(pairs), max(pairs)


def draw_curves(curves: Mapping[str, Curve], label: str, chance: float | None = None) -> Figure:
    """Left, a line a title: the mean over languages at each layer, with its 95 % interval where there is a
    standard error. Right: each language, of two titles the difference; of more there is no right side."""
    every = list(curves.values())
    first, last = every[0], every[-1]
    shared = [code for code in last.languages if code in first.languages]
    layers = [layer for layer in last.layers if layer in first.layers]
    beside = len(curves) <= 2 and bool(shared) and bool(layers)
    figure = new_figure(10 if beside else 6, max(3.4, 1.2 + 0.22 * len(shared)) if beside else 3.6)
    left, *right = np.ravel(figure.subplots(1, 2 if beside else 1, squeeze=False))
    handles = _lines(left, curves, label)
    if chance is not None:
        left.axhline(chance, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        handles.append(Line2D([], [], color=INK, linewidth=1, linestyle=(0, (2, 2)), label="chance"))
    if any(curve.stderr is not None for curve in curves.values()):
        handles.append(Line2D([], [], color=BEFORE, alpha=0.3, linewidth=7, label="95 % interval"))
    for axes in right:
        grids = [_part(curve, shared, layers) for curve in (first, last)]
        is_change = len(curves) == 2
        title = " - ".join(reversed(list(curves)))
        _languages(figure, axes, grids[1] - grids[0] if is_change else grids[1], shared, layers, is_change)
        axes.set_title(f"Each language, {title}")
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _lines(axes: Axes, curves: Mapping[str, Curve], label: str) -> list[Line2D]:
    handles = []
    for index, (title, curve) in enumerate(curves.items()):
        colour = PALETTE[index % len(PALETTE)]
        if len(curves) <= 2 or title in ("before", "after"):
            colour = LINES[1 if title == "after" else index % 2]
        means = curve.means
        axes.plot(curve.layers, means, color=colour, linewidth=2.2, marker="o", markersize=4)
        if curve.stderr is not None:
            reach = Z95 * curve.stderr
            axes.fill_between(
                curve.layers, means - reach, means + reach, color=colour, alpha=0.2, linewidth=0
            )
        handles.append(Line2D([], [], color=colour, linewidth=2.2, marker="o", markersize=4, label=title))
    lowest = min((float(np.nanmin(c.means, initial=0.0)) for c in curves.values()), default=0.0)
    axes.set(title="Mean over languages", xlabel="layer", ylabel=label, ylim=(min(0.0, lowest - 0.02), 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return handles


def _part(curve: Curve, languages: Sequence[str], layers: Sequence[int]) -> NDArray[np.float64]:
    """Values of some languages at some layers."""
    rows = [list(curve.languages).index(code) for code in languages]
    return curve.values[np.ix_(rows, [list(curve.layers).index(layer) for layer in layers])]


def _languages(
    figure: Figure,
    axes: Axes,
    values_LK: NDArray[np.float64],
    languages: Sequence[str],
    layers: Sequence[int],
    is_change: bool,
) -> None:
    """A cell a language and layer; of changes blue is a rise, red a fall, as far as the largest of them."""
    reach = float(np.nanmax(np.abs(values_LK), initial=1e-3)) if is_change else 1.0
    image = axes.imshow(
        values_LK,
        aspect="auto",
        cmap="RdBu" if is_change else "Blues",
        vmin=-reach if is_change else 0.0,
        vmax=reach,
    )
    axes.grid(False)
    axes.set_yticks(range(len(languages)), languages)
    step = max(1, len(layers) // 10)
    axes.set_xticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]])
    axes.set_xlabel("layer")
    figure.colorbar(image, ax=axes, shrink=0.9)
