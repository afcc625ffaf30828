"""The picture of the training: losses, gradient norms and their cosine, learning rate against the step."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xalign.reporting.records import Floats, Run, Series
from xalign.reporting.style import INK, PALETTE, new_figure


def losses(run: Run) -> Figure | None:
    """Each loss against the step, smoothed over the raw values; below: gradient norms, learning rate."""
    parts = [name for name in run.metrics if name == "loss" or name.startswith("loss/")]
    if not parts:
        return None
    if len(parts) == 2:
        parts.remove("loss")  # with one part only, the total says the same
    norms = [name for name in run.metrics if name.startswith("gradient_norm")]
    lower = [bool(norms), "gradient_cosine" in run.metrics, "lr" in run.metrics]
    figure = new_figure(10, 5.6 if any(lower) else 3)
    rows = figure.add_gridspec(2 if any(lower) else 1, 1)
    upper = rows[0].subgridspec(1, len(parts)).subplots(squeeze=False)[0]
    for name, axes in zip(parts, upper, strict=True):
        _smoothed(axes, run.metrics[name], _colour(name, parts))
        axes.set_title("Total loss" if name == "loss" else f"{name.removeprefix('loss/').capitalize()} loss")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
    if any(lower):
        panels = iter(rows[1].subgridspec(1, sum(lower)).subplots(squeeze=False)[0])
        if norms:
            _norms(next(panels), {name: run.metrics[name] for name in norms}, parts)
        if "gradient_cosine" in run.metrics:
            axes, series = next(panels), run.metrics["gradient_cosine"]
            axes.axhline(0, color=INK, linewidth=1)
            axes.plot(
                series.steps, series.values, color=PALETTE[6], marker="o", markersize=3.5, linewidth=1.2
            )
            axes.set(title="Cosine of the gradients", ylim=(-1, 1), xlabel="step")
        if "lr" in run.metrics:
            axes, series = next(panels), run.metrics["lr"]
            axes.plot(series.steps, series.values, color=INK, linewidth=1.6)
            axes.set(title="Learning rate", xlabel="step")
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return figure


def smooth(values: Floats, width: int) -> Floats:
    """Centred moving average over `width` values, over fewer at the ends; NaNs are left out."""
    half = width // 2
    windows = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    finite = [window[np.isfinite(window)] for window in windows]
    return np.array([window.mean() if window.size else np.nan for window in finite])


def _smoothed(axes: Axes, series: Series, colour: str) -> None:
    axes.plot(series.steps, series.values, color=colour, alpha=0.3, linewidth=1)
    width = max(3, len(series.values) // 15)
    axes.plot(series.steps, smooth(series.values, width), color=colour, linewidth=2.2)


def _norms(axes: Axes, norms: Mapping[str, Series], parts: Sequence[str]) -> None:
    for name, series in norms.items():
        part = "loss" + name.removeprefix("gradient_norm")
        label = part.removeprefix("loss/") if part != "loss" else "total"
        marker = "" if len(series.steps) > 40 else "o"
        axes.plot(
            series.steps,
            series.values,
            color=_colour(part, parts),
            linewidth=1.4,
            marker=marker,
            markersize=3.5,
            label=label,
        )
    if all(np.nanmin(series.values) > 0 for series in norms.values()):
        axes.set_yscale("log")
    axes.set(title="Gradient norm", xlabel="step")
    axes.legend(fontsize=8.5, handlelength=1.4, labelspacing=0.3)


def _colour(part: str, parts: Sequence[str]) -> str:
    return INK if part == "loss" or part not in parts else PALETTE[parts.index(part) % len(PALETTE)]
