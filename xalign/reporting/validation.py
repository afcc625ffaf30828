"""The pictures of what was measured on validation text, and of what was chosen by it: a step during training,
a share of the way afterwards."""

import math
from collections.abc import Mapping

from matplotlib.figure import Figure

from xalign.base.drawing import AFTER, INK, new_figure
from xalign.evaluation.figures import best_of
from xalign.evaluation.metrics import HARMLESS, MEAN
from xalign.reporting.measures import Measure, measure_of
from xalign.reporting.records import Run, Series

COLUMNS = 3


def validation(run: Run) -> Figure | None:
    """A panel a metric: the mean over languages against the step, faintly each language.

    With `trainer.select` the chosen step is marked in all, and named where the choice was made.
    """
    return _panels(run, run.metrics, "step", chosen_step(run), run.select)


def blends(run: Run) -> Figure | None:
    """The same against the share of the way from the model before training that was taken."""
    return _panels(run, run.blends, "share of the way", chosen_share(run), _harmless(run))


def _panels(
    run: Run, logged: Mapping[str, Series], xlabel: str, chosen: float | None, by: str | None
) -> Figure | None:
    """`by`: the figure that `chosen` was chosen by."""
    curves = _curves(run, logged, by)
    if not curves:
        return None
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
        axes.set(title=f"{measure.label} · {measure.benchmark}", xlabel=xlabel)
        if chosen is None:
            continue
        axes.axvline(chosen, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        if str(by).startswith(_name(measure, "")):
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
    _, benchmark, name, _ = run.select.split("/")
    values = dict(zip(series.steps.astype(int).tolist(), series.values.tolist(), strict=True))
    return best_of(values, run.metric(benchmark, name))


def chosen_share(run: Run) -> float | None:
    """The share of `export.blends` that was exported, the largest of equals; None where none was chosen."""
    by = _harmless(run)
    if by is None:
        return None
    series = run.blends[by]
    order = sorted(zip(series.steps.tolist(), series.values.tolist(), strict=True), reverse=True)
    return best_of(dict(order), HARMLESS)


def _harmless(run: Run) -> str | None:
    """The figure that a share was chosen by."""
    return next((figure for figure in run.blends if figure.split("/")[2] == HARMLESS.name), None)


def _curves(run: Run, logged: Mapping[str, Series], by: str | None) -> dict[Measure, dict[str, Series]]:
    """Measure -> language, or `mean` as the last -> what was logged."""
    found: dict[Measure, dict[str, Series]] = {}
    for name, series in logged.items():
        if name.startswith("eval/"):
            benchmark, metric, language = name.removeprefix("eval/").rsplit("/", 2)
            measure = measure_of(run, benchmark, metric)
            if not measure.metric.hidden or str(by).startswith(_name(measure, "")):
                found.setdefault(measure, {})[language] = series
    order = run.metric_order
    return {
        measure: found[measure]
        for measure in sorted(found, key=lambda m: order.get((m.benchmark, m.name), len(order)))
    }


def _name(measure: Measure, language: str) -> str:
    return f"eval/{measure.benchmark}/{measure.name}/{language}"
