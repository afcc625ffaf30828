"""Tables for the terminal: the end of a run, one evaluation, several runs. 80 columns are enough."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xalign.evaluation.groups import mean_over, telling_groups
from xalign.evaluation.item_scores import errors_of_means
from xalign.evaluation.metrics import MEAN
from xalign.evaluation.results import Evaluation, Result
from xalign.evaluation.statistics import Comparison, compare_models
from xalign.reporting.analyses import lines_of
from xalign.reporting.benchmarks import benchmarks_of
from xalign.reporting.formatting import number, percent, signed
from xalign.reporting.measures import (
    Change,
    Measure,
    Verdict,
    language_name,
    verdict_of,
)
from xalign.reporting.records import Run
from xalign.reporting.run_folder import load_run, parse_results
from xalign.reporting.seeds import SEED_NOTE, over_seeds
from xalign.reporting.summary import (
    Headline,
    Row,
    findings_of,
    gaps_of,
    headlines_of,
    means_by_verdict,
    notes_on_tests,
    tables_of,
)
from xalign.reporting.verdict import opening_of

STYLES = {"gain": "bold green", "loss": "bold red", "same": "dim", "unknown": "dim"}
VERDICTS: dict[Verdict, str] = {
    "gain": "mean significantly better",
    "same": "mean not significantly changed",
    "loss": "mean significantly worse",
}
UNSEEN = "\N{DAGGER}"
FIRST_COLUMN, OTHER_COLUMNS = 22, 13
"""Characters that columns need at least, their margins included."""

T = TypeVar("T")


def print_comparison(run_dir: Path, console: Console | None = None) -> None:
    """Print what a run changed: a table a set, the main figures, and where it got worse.

    Raises:
        RunError: `run_dir` is not a run's folder.
        DataError: one of its files is damaged.
    """
    console = console or Console(highlight=False)
    run = load_run(run_dir)
    if opening := opening_of(run):
        console.print(_note(opening.sentence, STYLES[opening.tone]))
    for table in tables_of(run):
        layered = any(measure.layer is not None for measure in table.measures)
        layer = f", layer {run.aligned_layer}" if layered else ""
        for columns in _chunks(range(len(table.measures)), console.width):
            grid = _grid(f"{table.title}{layer}: before \N{RIGHTWARDS ARROW} after")
            for k in columns:
                _add_column(grid, table.measures[k].label)
            for row in (*table.rows, *table.groups):
                cells = [_cell(row.changes[k]) for k in columns]
                if any(cell.plain for cell in cells):
                    grid.add_row(_row_name(row), *cells)
            console.print(grid)
    for headline in headlines_of(run):
        console.print(_headline(headline))
    for benchmark in benchmarks_of(run):
        if benchmark.gap:
            console.print(_note(f"{benchmark.measure.label}: {benchmark.gap}"))
    findings = findings_of(run)
    for verdict, measures in means_by_verdict(findings).items():
        if measures:
            console.print(_note(f"{VERDICTS[verdict]}: {'; '.join(measures)}", STYLES[verdict]))
    for finding in findings:
        if finding.losses:
            names = ", ".join(finding.losses)
            console.print(_note(f"significantly worse: {finding.measure.heading}, {names}", "red"))
    for line in lines_of(run.analyses):
        console.print(_note(line))
    for gap in gaps_of(run):
        console.print(_note(gap, "yellow"))
    for note in notes_on_tests(run):
        console.print(_note(note, "dim"))
    if run.comparison:
        console.print(_note(f"{UNSEEN} not trained on; means of groups (italics) are not tested", "dim"))


def print_results(
    results: Iterable[Mapping[str, object]], layer: int | None = None, console: Console | None = None
) -> None:
    """Print one evaluation, languages by metrics: at `layer`, or at each metric's best where None.

    `results` are the rows of an evaluation file (design.md, section 5).

    Raises:
        DataError: a row lacks a field or a field has the wrong type.
    """
    console = console or Console(highlight=False)
    evaluation = Evaluation("", parse_results([dict(row) for row in results], "results"), {})
    for benchmark in dict.fromkeys(row.benchmark for row in evaluation.results):
        measures = _measures(evaluation, benchmark, layer)
        if not measures:
            continue
        grid = _grid(benchmark)
        for measure in measures:
            _add_column(grid, measure.label + ("" if measure.layer is None else f", layer {measure.layer}"))
        columns = [
            {
                row.language: row
                for row in evaluation.results
                if (row.benchmark, row.metric, row.layer) == (benchmark, measure.name, measure.layer)
                and row.language != MEAN
            }
            for measure in measures
        ]
        for code in dict.fromkeys(code for column in columns for code in column):
            grid.add_row(Text(language_name(code)), *(_value(column.get(code)) for column in columns))
        values = [{code: row.value for code, row in column.items()} for column in columns]
        means = (number(mean_over(own, list(own))) for own in values)
        grid.add_row(Text("mean", style="bold"), *(Text(mean, style="bold") for mean in means))
        for name, group in telling_groups(code for column in columns[:1] for code in column).items():
            means = (number(mean_over(own, group)) for own in values)
            grid.add_row(Text(name, style="italic"), *means)
        if layer is not None and any(measure.layer is not None for measure in measures):
            grid.add_row(Text("best layer"), *(_best(evaluation, measure) for measure in measures))
        console.print(grid)


def print_models(evaluations: Sequence[Evaluation], seed: int, console: Console | None = None) -> None:
    """Print several models side by side, the others as they differ from the first.

    Metrics of every layer are shown at each model's own best layer. Tables by language follow where all
    models have room beside each other.

    Raises:
        DataError: the models did not measure the same items.
    """
    console = console or Console(highlight=False)
    first = evaluations[0]
    compared = [
        {(c.benchmark, c.metric, c.language): c for c in own} for own in compare_models(evaluations, seed)
    ]
    errors = [errors_of_means(evaluation) for evaluation in evaluations]
    names = short_names([evaluation.model for evaluation in evaluations])
    measures = [
        measure
        for benchmark in dict.fromkeys(row.benchmark for row in first.results)
        for measure in _measures(first, benchmark, None)
    ]
    overview = _grid("mean over languages", first="benchmark")
    for name in names:
        _add_column(overview, name)
    by_language = []
    for measure in measures:
        columns = [_column(evaluation, measure) for evaluation in evaluations]
        heading = replace(measure, layer=None).heading
        grid = _grid(heading)
        for name in names:
            _add_column(grid, name)
        for code in (*dict.fromkeys(code for column in columns for code in column), MEAN):
            tested = [None, *(found.get((measure.benchmark, measure.name, code)) for found in compared)]
            rows = [column.get(code) for column in columns]
            if code == MEAN:
                rows = [
                    _mean(own, error.get((measure.benchmark, measure.name)))
                    for own, error in zip(columns, errors, strict=True)
                ]
            # What was compared is shown as it was compared (chrF++: the mean over sentences).
            base = next((found.before for found in tested if found), None)
            values = [base, *(found.after if found else None for found in tested[1:])]
            cells = [_against_first(measure, *cell) for cell in zip(rows, values, tested, strict=True)]
            grid.add_row(Text("mean" if code == MEAN else language_name(code)), *cells)
        overview.add_row(Text(heading), *cells)
        by_language.append(grid)
    console.print(overview)
    if FIRST_COLUMN + OTHER_COLUMNS * len(names) <= console.width:
        for grid in by_language:
            console.print(grid)
    note = (
        f"differences are to {names[0]}; * significant at 5 % over these items, corrected over all "
        "comparisons of a language and, apart from them, over all means"
    )
    if any(measure.layer is not None for measure in measures):
        note += "; each model at its own best layer"
    console.print(_note(note, "dim"))


def short_names(paths: Sequence[str]) -> list[str]:
    """The folder's name of each model, the run's where it is a run's `model`; paths where names are alike."""
    parts = [Path(path).parts for path in paths]
    names = [own[-2] if len(own) > 1 and own[-1] == "model" else own[-1] for own in parts]
    return [name if names.count(name) == 1 else path for name, path in zip(names, paths, strict=True)]


def print_runs(runs: Mapping[str, Run], console: Console | None = None) -> None:
    """Print the main figures of several runs, a row a run, and their means where only seeds differ."""
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
    groups = over_seeds(runs)
    for group in groups:
        console.print(_note(f"over {group.name}: {', '.join(group.titles)}", "bold"))
        for headline in group.headlines:
            console.print(_headline(headline))
    if groups:
        console.print(_note(SEED_NOTE, "dim"))


def _grid(title: str, first: str = "language") -> Table:
    grid = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    grid.add_column(first, overflow="fold")
    return grid


def _chunks(columns: Sequence[T], width: int) -> list[Sequence[T]]:
    """The columns of a table, in as many parts as it takes for each to fit."""
    room = max(1, (width - FIRST_COLUMN) // OTHER_COLUMNS)
    return [columns[start : start + room] for start in range(0, len(columns), room)]


def _row_name(row: Row) -> Text:
    if row.role == "mean":
        return Text("mean", style="bold")
    if row.role == "group":
        return Text(row.name, style="italic")
    return Text(row.name + (UNSEEN if row.role == "unseen" else ""))


def _note(text: str, style: str = "") -> Padding:
    return Padding(Text(text, style=style), (0, 0, 0, 2))


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


def _headline(headline: Headline) -> Text:
    change = headline.change
    text = Text.assemble(f"  {headline.label:<26} ", _cell(change, headline.relative))
    if change.low is not None:
        text.append(f" [{signed(change.low)}, {signed(change.high)}]", style="dim")
    return text


def _column(evaluation: Evaluation, measure: Measure) -> dict[str, Result]:
    """The rows of a measure by language, at the evaluation's own best layer."""
    layer = evaluation.best_layer(measure.benchmark, measure.name)
    return {
        row.language: row
        for row in evaluation.results
        if (row.benchmark, row.metric, row.layer) == (measure.benchmark, measure.name, layer)
        and row.language != MEAN
    }


def _mean(column: Mapping[str, Result], stderr: float | None) -> Result | None:
    rows = list(column.values())
    if not rows:
        return None
    value = sum(row.value for row in rows) / len(rows)
    return replace(rows[0], language=MEAN, value=value, stderr=stderr, n=sum(row.n for row in rows))


def _against_first(
    measure: Measure, row: Result | None, value: float | None, tested: Comparison | None
) -> Text:
    text = _value(replace(row, value=value) if row and value is not None else row)
    if tested:
        verdict = verdict_of(tested, measure.metric)
        star = "*" if verdict in ("gain", "loss") else ""
        text.append(f" {signed(tested.difference)}{star}", style=STYLES[verdict])
    return text


def _best(evaluation: Evaluation, measure: Measure) -> Text:
    means = evaluation.mean_by_layer(measure.benchmark, measure.name)
    best = evaluation.best_layer(measure.benchmark, measure.name)
    return Text("" if best is None else f"{number(means[best])} ({best})")


def _value(result: Result | None) -> Text:
    if result is None:
        return Text("")
    text = Text(number(result.value))
    if result.stderr is not None:
        text.append(f" \N{PLUS-MINUS SIGN}{result.stderr:.3f}", style="dim")
    return text


def _measures(evaluation: Evaluation, benchmark: str, layer: int | None) -> list[Measure]:
    names = dict.fromkeys(row.metric for row in evaluation.results if row.benchmark == benchmark)
    metrics = [evaluation.metric(benchmark, name) for name in names]
    found = []
    for metric in metrics:
        if not metric.hidden:
            measured = evaluation.mean_by_layer(benchmark, metric.name)
            at = layer if layer in measured else evaluation.best_layer(benchmark, metric.name)
            found.append(Measure(benchmark=benchmark, metric=metric, layer=at))
    return found
