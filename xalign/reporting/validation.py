"""The picture of what was measured during training, and of the step that was chosen by it."""

import math

import numpy as np
from matplotlib.figure import Figure

from xalign.evaluation.results import MEAN
from xalign.reporting.measures import HIDDEN, Measure, lower_is_better
from xalign.reporting.records import Run, Series
from xalign.reporting.style import AFTER, INK, new_figure

COLUMNS = 3


def validation(run: Run) -> Figure | None:
    """A panel a metric: the mean over languages against the step, faintly each language.

    With `trainer.select` the chosen step is marked in all, and named where the choice was made.
    """
    curves = _curves(run)
    if not curves:
        return None
    chosen = chosen_step(run)
    rows = math.ceil(len(curves) / COLUMNS)
    figure = new_figure(10, 2.9 * rows)
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[len(curves) :]:
        axes.set_visible(False)
    for axes, (measure, by_language) in zip(grid, curves.items(), strict=False):
        for language, series in by_language.items():
            mean = language == MEAN
            axes.plot(
                series.steps,
                series.values,
                color=AFTER,
                alpha=1 if mean else 0.25,
                linewidth=2.2 if mean else 1,
                marker="o" if mean else "",
                markersize=3.5,
            )
        axes.set(title=f"{measure.label} · {measure.benchmark}", xlabel="step")
        if chosen is None:
            continue
        axes.axvline(chosen, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        if str(run.select).startswith(_name(measure, "")):
            axes.annotate(
                f"chosen: {chosen:g}",
                (chosen, 0),
                xycoords=("data", "axes fraction"),
                xytext=(4, 3),
                textcoords="offset points",
                fontsize=8.5,
            )
    return figure


def chosen_step(run: Run) -> int | None:
    """The step with the best value of `trainer.select`, the first of equals; None where none was chosen."""
    series = run.metrics.get(run.select or "")
    if series is None or run.select is None:
        return None
    best = np.argmin if lower_is_better(run.select.rsplit("/", 2)[1]) else np.argmax
    return int(series.steps[best(series.values)])


def _curves(run: Run) -> dict[Measure, dict[str, Series]]:
    """Measure -> language, or `mean` as the last -> what was logged."""
    found: dict[Measure, dict[str, Series]] = {}
    for name, series in run.metrics.items():
        if name.startswith("eval/"):
            benchmark, metric, language = name.removeprefix("eval/").rsplit("/", 2)
            measure = Measure(benchmark=benchmark, metric=metric)
            if metric not in HIDDEN or str(run.select).startswith(_name(measure, "")):
                found.setdefault(measure, {})[language] = series
    return {measure: found[measure] for measure in sorted(found, key=lambda measure: measure.rank)}


def _name(measure: Measure, language: str) -> str:
    return f"eval/{measure.benchmark}/{measure.metric}/{language}"
