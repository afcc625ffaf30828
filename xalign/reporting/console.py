"""Tables for the terminal: the end of a run, one evaluation, several runs. 80 columns are enough."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xalign.reporting.formatting import number, percent, signed
from xalign.reporting.measures import (
    HIDDEN,
    LABELS,
    METRIC_ORDER,
    Change,
    Measure,
    language_name,
)
from xalign.reporting.records import MEAN, Evaluation, Result, Run
from xalign.reporting.run_folder import load_run, parse_results
from xalign.reporting.summary import Headline, findings_of, gaps_of, headlines_of, tables_of

STYLES = {"gain": "bold green", "loss": "bold red", "same": "dim", "unknown": "dim"}
UNSEEN = "\N{DAGGER}"


def print_comparison(run_dir: Path, console: Console | None = None) -> None:
    """Print what a run changed: a table a set, the main figures, and where it got worse.

    Raises:
        RunError: `run_dir` is not a run's folder.
        DataError: one of its files is damaged.
    """
    console = console or Console(highlight=False)
    run = load_run(run_dir)
    for table in tables_of(run):
        layer = "" if run.aligned_layer is None else f", layer {run.aligned_layer}"
        grid = _grid(f"{table.title}{layer}: before \N{RIGHTWARDS ARROW} after")
        for measure in table.measures:
            _add_column(grid, measure.label)
        for row in table.rows:
            name = "mean" if row.role == "mean" else row.name + (UNSEEN if row.role == "unseen" else "")
            style = "bold" if row.role == "mean" else ""
            grid.add_row(Text(name, style=style), *map(_cell, row.changes))
        console.print(grid)
    for headline in headlines_of(run):
        console.print(Text.assemble(f"  {headline.label:<26} ", _cell(headline.change, headline.relative)))
    losses = [(finding.measure.heading, name) for finding in findings_of(run) for name in finding.losses]
    for heading, name in losses:
        console.print(Text(f"  significantly worse: {heading}, {name}", style="red"))
    for gap in gaps_of(run):
        console.print(Text(f"  {gap}", style="yellow"))
    if run.comparison:
        note = f"* significant at 5 %, adjusted for multiple testing; {UNSEEN} not trained on"
        console.print(Text(f"  {note}", style="dim"))


def print_results(
    results: Iterable[Mapping[str, object]], layer: int | None = None, console: Console | None = None
) -> None:
    """Print one evaluation, languages by metrics: at `layer`, or at each metric's best where None.

    `results` are the rows of an evaluation file (design.md, section 5).

    Raises:
        DataError: a row lacks a field or a field has the wrong type.
    """
    console = console or Console(highlight=False)
    evaluation = Evaluation(model="", results=parse_results([dict(row) for row in results], "results"))
    for benchmark in dict.fromkeys(row.benchmark for row in evaluation.results):
        measures = _measures(evaluation, benchmark, layer)
        grid = _grid(LABELS.get(benchmark, benchmark))
        for measure in measures:
            _add_column(grid, measure.label + ("" if measure.layer is None else f", layer {measure.layer}"))
        columns = [
            {
                row.language: row
                for row in evaluation.results
                if (row.benchmark, row.metric, row.layer) == (benchmark, measure.metric, measure.layer)
                and row.language != MEAN
            }
            for measure in measures
        ]
        for code in dict.fromkeys(code for column in columns for code in column):
            grid.add_row(Text(language_name(code)), *(_value(column.get(code)) for column in columns))
        means = [sum(row.value for row in column.values()) / len(column) for column in columns]
        grid.add_row(Text("mean", style="bold"), *(Text(number(mean), style="bold") for mean in means))
        if layer is not None and any(measure.layer is not None for measure in measures):
            grid.add_row(Text("best layer"), *(_best(evaluation, measure) for measure in measures))
        console.print(grid)


def print_runs(runs: Mapping[str, Run], console: Console | None = None) -> None:
    """Print the main figures of several runs, a row a run."""
    console = console or Console(highlight=False)
    figures: dict[str, dict[str, Headline]] = {
        title: {headline.label: headline for headline in headlines_of(run)} for title, run in runs.items()
    }
    columns = list(dict.fromkeys(label for row in figures.values() for label in row))
    grid = _grid("before \N{RIGHTWARDS ARROW} after", first="run")
    _add_column(grid, "steps", width=5)
    for label in columns:
        _add_column(grid, label)
    for title, run in runs.items():
        cells = (
            _cell(found.change, found.relative) if (found := figures[title].get(label)) else Text("")
            for label in columns
        )
        grid.add_row(Text(title), str(run.steps), *cells)
    console.print(grid)


def _grid(title: str, first: str = "language") -> Table:
    grid = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    grid.add_column(first, overflow="fold")
    return grid


def _add_column(grid: Table, label: str, width: int = 11) -> None:
    # Wide enough for a pair of values: in a narrow terminal the difference goes below, and no digit is lost.
    grid.add_column(Text(label), justify="right", min_width=width, overflow="fold")


def _cell(change: Change, relative: bool = False) -> Text:
    if change.before is None and change.after is None:
        return Text("")
    text = Text(f"{number(change.before)}\N{RIGHTWARDS ARROW}{number(change.after)}")
    if change.difference is not None:
        star = "*" if change.verdict in ("gain", "loss") else ""
        text.append(f" {signed(change.difference)}{star}", style=STYLES[change.verdict])
        if relative and change.before:
            text.append(
                f" ({percent(100 * change.difference / change.before)})", style=STYLES[change.verdict]
            )
    return text


def _best(evaluation: Evaluation, measure: Measure) -> Text:
    means = evaluation.mean_by_layer(measure.benchmark, measure.metric)
    best = evaluation.best_layer(measure.benchmark, measure.metric)
    return Text("" if best is None else f"{number(means[best])} ({best})")


def _value(result: Result | None) -> Text:
    if result is None:
        return Text("")
    text = Text(number(result.value))
    if result.stderr is not None:
        text.append(f" \N{PLUS-MINUS SIGN}{result.stderr:.3f}", style="dim")
    return text


def _measures(evaluation: Evaluation, benchmark: str, layer: int | None) -> list[Measure]:
    metrics = {row.metric for row in evaluation.results if row.benchmark == benchmark} - HIDDEN
    found = []
    for metric in sorted(
        sorted(metrics), key=lambda name: METRIC_ORDER.index(name) if name in LABELS else len(LABELS)
    ):
        measured = evaluation.mean_by_layer(benchmark, metric)
        at = layer if layer in measured else evaluation.best_layer(benchmark, metric)
        found.append(Measure(benchmark=benchmark, metric=metric, layer=at))
    return found
