"""The picture of the training: losses, gradients, the weights that act, learning rate against the step."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xalign.base.drawing import INK, PALETTE, new_figure
from xalign.reporting.records import Floats, Run, Series


def losses(run: Run) -> Figure | None:
    """Each loss against the step, smoothed over the raw values; below: gradient norms, their cosines, the
    weights that act on the gradients, learning rate."""
    parts = [name for name in run.metrics if name == "loss" or name.startswith("loss/")]
    if not parts:
        return None
    if len(parts) == 2:
        parts.remove("loss")  # with one part only, the total says the same
    lower: list[Callable[[Axes], None]] = []
    if norms := _named(run, "gradient_norm"):
        lower.append(lambda axes: _norms(axes, norms, parts))
    if cosines := _named(run, "gradient_cosine"):
        lower.append(lambda axes: _cosines(axes, cosines))
    if weights := _named(run, "weight/"):
        lower.append(lambda axes: _weights(axes, weights, parts))
    if "lr" in run.metrics:
        lower.append(lambda axes: _learning_rate(axes, run.metrics["lr"]))
    figure = new_figure(10, 5.6 if lower else 3)
    rows = figure.add_gridspec(2 if lower else 1, 1)
    upper = rows[0].subgridspec(1, len(parts)).subplots(squeeze=False)[0]
    for name, axes in zip(parts, upper, strict=True):
        _smoothed(axes, run.metrics[name], _colour(name, parts))
        axes.set_title("Total loss" if name == "loss" else f"{name.removeprefix('loss/').capitalize()} loss")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
    if lower:
        panels = rows[1].subgridspec(1, len(lower)).subplots(squeeze=False)[0]
        for draw, axes in zip(lower, panels, strict=True):
            draw(axes)
            axes.set_xlabel("step")
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


def _named(run: Run, start: str) -> dict[str, Series]:
    return {name: series for name, series in run.metrics.items() if name.startswith(start)}


def _cosines(axes: Axes, cosines: Mapping[str, Series]) -> None:
    axes.axhline(0, color=INK, linewidth=1)
    for number, (name, series) in enumerate(cosines.items()):
        label = name.removeprefix("gradient_cosine").lstrip("/").replace("-", ", ")
        colour = PALETTE[(6 + number) % len(PALETTE)]
        axes.plot(
            series.steps, series.values, color=colour, marker="o", markersize=3.5, linewidth=1.2, label=label
        )
    axes.set(title="Cosine of gradients", ylim=(-1, 1))
    if len(cosines) > 1:
        axes.legend(fontsize=8.5, handlelength=1.4, labelspacing=0.3)


def _weights(axes: Axes, weights: Mapping[str, Series], parts: Sequence[str]) -> None:
    for name, series in weights.items():
        label = name.removeprefix("weight/")
        axes.plot(
            series.steps, series.values, color=_colour(f"loss/{label}", parts), linewidth=1.6, label=label
        )
    axes.set(title="Weights that act", ylim=(0, None))
    axes.legend(fontsize=8.5, handlelength=1.4, labelspacing=0.3)


def _learning_rate(axes: Axes, series: Series) -> None:
    axes.plot(series.steps, series.values, color=INK, linewidth=1.6)
    axes.set_title("Learning rate")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


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
    axes.set_title("Gradient norm")
    axes.legend(fontsize=8.5, handlelength=1.4, labelspacing=0.3)


def _colour(part: str, parts: Sequence[str]) -> str:
    return INK if part == "loss" or part not in parts else PALETTE[parts.index(part) % len(PALETTE)]
