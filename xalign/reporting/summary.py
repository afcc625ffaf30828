"""What a run's numbers say: tables, main figures, findings, gaps.

The page, the terminal tables and the model card all show what is computed here, so they cannot disagree.
"""

from dataclasses import dataclass

from xalign.reporting.measures import (
    LABELS,
    Change,
    Measure,
    Verdict,
    change_of,
    codes_of,
    language_name,
    measures_of,
    ordered_languages,
    retrieval_sets,
    role_of,
)
from xalign.reporting.records import MEAN, Run


@dataclass(frozen=True, kw_only=True)
class Row:
    """A language's measurements; `role` is pivot, trained, unseen, or mean."""

    language: str
    role: str
    changes: tuple[Change, ...]

    @property
    def name(self) -> str:
        """English name of the language."""
        return "Mean over languages" if self.role == "mean" else language_name(self.language)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Languages by measures. `rows` ends with the mean over languages."""

    title: str
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One of the main figures of a run."""

    label: str
    note: str
    change: Change
    relative: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Which languages a measure rose and fell in, as names."""

    measure: Measure
    mean: Change
    gains: tuple[str, ...]
    losses: tuple[str, ...]
    same: tuple[str, ...]


_BEST = {
    "retrieval@1_best": "Retrieval@1, best layer",
    "retrieval@1_best_centred": "Centred, best layer",
}


def tables_of(run: Run) -> list[Table]:
    """A table for each set of sentences; measures of other benchmarks join the first set's table
    where that has their languages, and have a table of their own where not (XCOPA)."""
    sets = retrieval_sets(run)
    columns: dict[str, list[Measure]] = {name: [] for name in sets}
    for measure in measures_of(run):
        home = measure.benchmark
        if home not in sets and sets:
            codes = codes_of(run, [measure]) - {run.pivot}
            home = sets[0] if codes <= codes_of(run, columns[sets[0]]) else home
        columns.setdefault(home, []).append(measure)
    return [_table(run, name, measures) for name, measures in columns.items() if measures]


def headlines_of(run: Run) -> list[Headline]:
    """Mean retrieval at the aligned layer and at each language's best; the pivot's bits per byte."""
    found = []
    for name in retrieval_sets(run)[:1]:
        if run.aligned_layer is not None:
            change = change_of(
                run, Measure(benchmark=name, metric="retrieval@1", layer=run.aligned_layer), MEAN
            )
            found.append(
                Headline(label=f"Retrieval@1, layer {run.aligned_layer}", note=f"mean, {name}", change=change)
            )
        for metric, label in _BEST.items():
            change = change_of(run, Measure(benchmark=name, metric=metric), MEAN)
            found.append(
                Headline(label=label, note=f"mean, {name}, each language at its best", change=change)
            )
    for measure in measures_of(run):
        if measure.metric == "bits_per_byte":
            change = change_of(run, measure, run.pivot)
            name = language_name(run.pivot)
            found.append(
                Headline(label=f"{name} bits per byte", note=measure.benchmark, change=change, relative=True)
            )
            break
    return [
        headline
        for headline in found
        if headline.change.before is not None or headline.change.after is not None
    ]


def findings_of(run: Run) -> list[Finding]:
    """For every measure that was compared: where it improved, where it got worse, where neither."""
    found = []
    for table in tables_of(run):
        for column, measure in enumerate(table.measures):
            names: dict[Verdict, list[str]] = {"gain": [], "loss": [], "same": [], "unknown": []}
            for row in table.rows:
                if row.role != "mean":
                    names[row.changes[column].verdict].append(row.name)
            if names["gain"] or names["loss"] or names["same"]:
                found.append(
                    Finding(
                        measure=measure,
                        mean=table.rows[-1].changes[column],
                        gains=tuple(names["gain"]),
                        losses=tuple(names["loss"]),
                        same=tuple(names["same"]),
                    )
                )
    return found


def gaps_of(run: Run) -> list[str]:
    """What an unfinished run lacks, as sentences."""
    missing = []
    if run.before is None:
        missing.append("The measurement before training is missing (evaluation/before.json).")
    if run.after is None:
        missing.append(
            "The run has not finished: there is no measurement after training (evaluation/after.json). "
            "The same command with resume=true goes on."
        )
    elif run.before is not None and not run.comparison:
        missing.append("There is no paired comparison (evaluation/comparison.json): nothing is tested here.")
    if not run.metrics:
        missing.append("No training step has been logged (metrics.jsonl).")
    return missing


def _table(run: Run, name: str, measures: list[Measure]) -> Table:
    codes = [*ordered_languages(run, codes_of(run, measures)), MEAN]
    rows = tuple(
        Row(
            language=code,
            role="mean" if code == MEAN else role_of(run, code),
            changes=tuple(change_of(run, measure, code) for measure in measures),
        )
        for code in codes
    )
    return Table(title=LABELS.get(name, name), measures=tuple(measures), rows=rows)
