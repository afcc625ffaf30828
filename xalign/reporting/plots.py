"""The pictures of a run, as PNG files. Figure objects only: nothing of pyplot's global state is touched."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from xalign.base.drawing import AFTER, BEFORE, INK, PALETTE, LineStyle, applied, new_figure, write_clearly
from xalign.config.choices import Pooling
from xalign.evaluation.metrics import KNOWN, MEAN, RETRIEVAL, layered
from xalign.evaluation.results import Evaluation
from xalign.reporting.analyses import Shown, shown_of
from xalign.reporting.losses import losses
from xalign.reporting.measures import (
    Measure,
    change_of,
    codes_of,
    language_name,
    measure_of,
    measures_of,
    ordered_languages,
    results_of,
    role_of,
    sentence_sets,
)
from xalign.reporting.records import Run
from xalign.reporting.sentences import sentences
from xalign.reporting.validation import blends, validation

METRICS = [metric.name for metric in layered(RETRIEVAL, [Pooling.mean]) if metric.has_layers]
"""Retrieval@1, raw and centred."""
Z95 = 1.96


def write_plots(run: Run) -> dict[str, Path]:
    """Draw every picture that the run has numbers for into `<run>/plots/`; name -> file."""
    folder = run.path / "plots"
    folder.mkdir(exist_ok=True)
    makers: dict[str, Callable[[Run], Figure | None]] = {
        "retrieval_by_layer": retrieval_by_layer,
        "languages": languages,
        "sentences": sentences,
        "losses": losses,
        "validation": validation,
        "blends": blends,
    }
    for measure in measures_of(run):
        if measure.in_context:
            makers[in_context_name(measure)] = partial(in_context, measure=measure)
    for shown in shown_of(run.analyses):
        makers[analysis_name(shown.name)] = partial(analysis, shown=shown)
    # A report written anew must not show what an older state of the folder left.
    of_any = [*folder.glob("in_context_*.png"), *folder.glob("analysis_*.png")]
    for stale in [*(folder / f"{name}.png" for name in makers), *of_any]:
        stale.unlink(missing_ok=True)
    written = {}
    for name, make in makers.items():
        file = folder / f"{name}.png"
        with applied():
            figure = make(run)
            if figure is not None:
                figure.savefig(file, format="png")
                written[name] = file
    return written


def _retrieval_sets(run: Run) -> list[str]:
    measured = {row.benchmark for row in results_of(run) if row.metric == RETRIEVAL.name}
    return [name for name in sentence_sets(run) if name in measured]


def retrieval_by_layer(run: Run) -> Figure | None:
    """Mean retrieval@1 over languages against the layer: raw and centred, a row a set."""
    curves = {
        (name, metric): {
            moment: evaluation.mean_by_layer(name, metric) for moment, evaluation in run.evaluations.items()
        }
        for name in _retrieval_sets(run)
        for metric in METRICS
    }
    if not curves:
        return None
    figure, grid = _panels(_retrieval_sets(run), height=3.1)
    for (name, metric), by_moment in curves.items():
        axes = grid[name, metric]
        axes.set_title(f"{KNOWN[metric].label} · {name}")
        if run.aligned_layer is not None:
            axes.axvline(run.aligned_layer, color=INK, linewidth=1, linestyle=(0, (2, 2)))
            axes.annotate(
                f"aligned: {run.aligned_layer}",
                (run.aligned_layer, 0),
                xycoords=("data", "axes fraction"),
                xytext=(4, 3),
                textcoords="offset points",
                fontsize=8.5,
            )
        for moment, means in by_moment.items():
            _curve(axes, means, AFTER if moment == "after" else BEFORE)
        _layer_axes(axes)
    _legend(figure, [_line(moment, AFTER if moment == "after" else BEFORE) for moment in run.evaluations])
    return figure


def compare_by_layer(runs: Mapping[str, Run]) -> Figure | None:
    """The curves after training of several runs in one picture (dashed: before)."""
    sets = list(dict.fromkeys(name for run in runs.values() for name in _retrieval_sets(run)))
    if not sets:
        return None
    figure, grid = _panels(sets, height=3.1)
    handles: list[Line2D] = []
    before: list[tuple[str, Evaluation]] = []
    for index, (title, run) in enumerate(runs.items()):
        colour = PALETTE[index % len(PALETTE)]
        style: LineStyle = "-" if index < len(PALETTE) else ":"
        handles.append(Line2D([], [], color=colour, linewidth=2, linestyle=style, label=title))
        if run.before and (run.model, run.before) not in before:
            before.append((run.model, run.before))
        for (name, metric), axes in grid.items():
            if run.after and (means := run.after.mean_by_layer(name, metric)):
                axes.plot(list(means), list(means.values()), color=colour, linewidth=2, linestyle=style)
    for (name, metric), axes in grid.items():
        axes.set_title(f"{KNOWN[metric].label} · {name}")
        for _, evaluation in before:
            means = evaluation.mean_by_layer(name, metric)
            axes.plot(list(means), list(means.values()), color=BEFORE, linewidth=1.4, linestyle="--")
        _layer_axes(axes)
    handles.append(Line2D([], [], color=BEFORE, linewidth=1.4, linestyle="--", label="before training"))
    _legend(figure, handles)
    return figure


def languages(run: Run) -> Figure | None:
    """Retrieval@1 at the aligned layer, before and after, a line a language, 95 % intervals."""
    layer = run.aligned_layer
    rows = {
        name: [
            code
            for code in ordered_languages(
                run, {r.language for e in run.evaluations.values() for r in e.results}
            )
            if any(e.find(name, METRICS[0], code, layer) for e in run.evaluations.values())
        ]
        for name in _retrieval_sets(run)
    }
    rows = {name: codes for name, codes in rows.items() if codes}
    if layer is None or not rows:
        return None
    height = 1.0 + 0.34 * max(len(codes) for codes in rows.values())
    figure, grid = _panels(list(rows), height=height)
    for (name, metric), axes in grid.items():
        _dumbbells(axes, run, measure_of(run, name, metric, layer), rows[name])
        axes.set_title(f"{KNOWN[metric].label}, layer {layer} · {name}")
    _legend(figure, _dumbbell_legend(run, [code for codes in rows.values() for code in codes]))
    return figure


def in_context_name(measure: Measure) -> str:
    """Name of the picture of an in-context benchmark."""
    return "in_context_" + re.sub(r"[^\w.-]", "_", measure.benchmark)


def analysis_name(analysis: str) -> str:
    """Name of the picture of an analysis."""
    return f"analysis_{analysis}"


def in_context(run: Run, measure: Measure) -> Figure:
    """Accuracy before and after, a line a language, with the level of chance."""
    codes = ordered_languages(run, codes_of(run, [measure]))
    figure = new_figure(5.6, 1.3 + 0.34 * (len(codes) + 1))
    axes = figure.subplots()
    _dumbbells(axes, run, measure, codes)
    axes.set_title(f"{measure.label}, accuracy")
    low, high = map(float, axes.dataLim.intervalx)
    chance = measure.metric.chance
    if chance is not None:
        axes.axvline(chance, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        low, high = min(low, chance), max(high, chance)
    margin = 0.06 * (high - low)
    axes.set_xlim(max(0.0, low - margin), min(1.0, high + margin))
    handles = _dumbbell_legend(run, codes)
    if chance is not None:
        handles.append(Line2D([], [], color=INK, linewidth=1, linestyle=(0, (2, 2)), label="chance"))
    _legend(figure, handles)
    return figure


def analysis(run: Run, shown: Shown) -> Figure:
    """What an analysis found before and after."""
    return shown.draw()


def _panels(sets: Sequence[str], height: float) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    figure = new_figure(10, height * len(sets) + 0.4)
    axes = figure.subplots(len(sets), len(METRICS), squeeze=False)
    return figure, {
        (name, metric): axes[i, j] for i, name in enumerate(sets) for j, metric in enumerate(METRICS)
    }


def _curve(axes: Axes, means: dict[int, float], colour: str) -> None:
    if not means:
        return
    axes.plot(list(means), list(means.values()), color=colour, linewidth=2.2, marker="o", markersize=3.5)
    best = max(means, key=lambda layer: means[layer])
    axes.plot(
        [best],
        [means[best]],
        marker="o",
        markersize=8,
        markerfacecolor="white",
        color=colour,
        markeredgewidth=2,
    )
    label = axes.annotate(
        f"{means[best]:.3f}",
        (best, means[best]),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        fontweight="bold",
        color=colour,
    )
    write_clearly(label)


def _layer_axes(axes: Axes) -> None:
    axes.set_ylim(0, 1)
    axes.set_xlabel("layer (0: embeddings)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _dumbbells(axes: Axes, run: Run, measure: Measure, codes: Sequence[str]) -> None:
    labels = []
    for height, code in enumerate([*codes, MEAN]):
        change = change_of(run, measure, code)
        unseen = code != MEAN and role_of(run, code) == "unseen"
        labels.append("Mean" if code == MEAN else language_name(code) + (" *" if unseen else ""))
        if change.before is not None and change.after is not None:
            axes.plot([change.before, change.after], [height] * 2, color=AFTER, alpha=0.18, linewidth=9)
        # A little above and below each other, so that intervals which overlap can be told apart.
        for value, stderr, colour, shift in (
            (change.before, change.before_stderr, BEFORE, -0.13),
            (change.after, change.after_stderr, AFTER, 0.13),
        ):
            if value is None:
                continue
            shift, reach = (shift, Z95 * stderr) if stderr else (0.0, 0.0)
            axes.plot(
                [max(0.0, value - reach), min(1.0, value + reach)],
                [height + shift] * 2,
                color=colour,
                linewidth=1.4,
            )
            axes.plot(
                [value],
                [height + shift],
                "D" if code == MEAN else "o",
                color=colour,
                markersize=7,
                mec="white",
            )
    axes.set_yticks(range(len(labels)), labels)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.axhline(len(codes) - 0.5, color=INK, linewidth=0.8)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.grid(False, axis="y")


def _dumbbell_legend(run: Run, codes: Sequence[str]) -> list[Line2D]:
    handles = [_dot(moment, AFTER if moment == "after" else BEFORE) for moment in run.evaluations]
    handles.append(Line2D([], [], color=BEFORE, linewidth=1.4, label="95 % interval"))
    if any(role_of(run, code) == "unseen" for code in codes):
        handles.append(Line2D([], [], color="none", label="* not trained on"))
    return handles


def _line(label: str, colour: str) -> Line2D:
    return Line2D([], [], color=colour, linewidth=2.2, marker="o", markersize=4, label=label)


def _dot(label: str, colour: str) -> Line2D:
    return Line2D([], [], color=colour, linestyle="", marker="o", markersize=7, label=label)


def _legend(figure: Figure, handles: list[Line2D]) -> None:
    figure.legend(handles=handles, loc="outside lower center", ncols=5 if figure.get_figwidth() > 6 else 3)
