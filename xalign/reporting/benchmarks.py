"""What the page says of each in-context benchmark beyond its numbers: chance, the gap to the pivot, ties."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from xalign.evaluation.groups import gap
from xalign.evaluation.results import Result
from xalign.reporting.measures import (
    Change,
    Measure,
    change_of,
    codes_of,
    language_name,
    measures_of,
    results_of,
    role_of,
)
from xalign.reporting.plots import in_context_name
from xalign.reporting.records import Run
from xalign.reporting.summary import Table, both_times, table_of

Z95 = 1.96


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A multiple-choice benchmark. `setting` is a few words, `gap` and `notes` are sentences; `picture` is
    its name."""

    measure: Measure
    picture: str
    table: Table
    setting: str
    gap: str | None
    notes: tuple[str, ...]


def benchmarks_of(run: Run) -> list[Benchmark]:
    """Every in-context benchmark by itself."""
    return [
        Benchmark(
            measure=measure,
            picture=in_context_name(measure),
            table=table_of(run, measure.label, [measure]),
            setting=_setting(run, measure),
            gap=_gap(run, measure),
            notes=tuple(filter(None, (_calibration(run, measure), _near_ties(run, measure)))),
        )
        for measure in measures_of(run)
        if measure.in_context
    ]


def _setting(run: Run, measure: Measure) -> str:
    shots = {row.shots for row in results_of(run) if row.benchmark == measure.benchmark}
    shown = ["accuracy"]
    if len(shots) == 1 and (count := shots.pop()) is not None:
        shown.append("zero-shot" if count == 0 else f"{count}-shot")
    if (chance := measure.metric.chance) is not None:
        shown.append(f"chance {chance:.3f}")
    return ", ".join(shown)


def _gap(run: Run, measure: Measure) -> str | None:
    changes = {code: change_of(run, measure, code) for code in codes_of(run, [measure])}
    before, after = both_times(changes)
    pivot = next((code for code in changes if role_of(run, code) == "pivot"), run.pivot)
    found = gap(before, after, pivot)
    if found is None:
        return None
    name = language_name(pivot)
    shown = f"Gap from {name} to the mean of the others: {found.before:.3f} before, {found.after:.3f} after"
    if found.closed is None or found.before <= Z95 * _error_of_gap(changes, pivot):
        return f"{shown}; {name} was not significantly ahead before training."
    share = f"{found.closed:.0%} closed" if found.closed >= 0 else f"{-found.closed:.0%} wider"
    return (
        f"{shown}: {share} (not tested). {name} itself: {before[pivot]:.3f} before, {after[pivot]:.3f} after."
    )


def _error_of_gap(changes: Mapping[str, Change], pivot: str) -> float:
    """Standard error of the gap before training, as if the languages' items were independent."""
    others = [change.before_stderr or 0.0 for code, change in changes.items() if code != pivot]
    return sqrt((changes[pivot].before_stderr or 0.0) ** 2 + sum(e**2 for e in others) / len(others) ** 2)


def _calibration(run: Run, measure: Measure) -> str | None:
    means = [
        f"{sum(row.value for row in rows) / len(rows):.3f} {when}"
        for when, rows in _rows(run, measure, "calibration_error").items()
    ]
    if not means:
        return None
    return (
        f"Expected calibration error, mean over languages: {', '.join(means)} (not tested; lower is better)."
    )


def _near_ties(run: Run, measure: Measure) -> str | None:
    counts = {
        when: (int(sum(row.value for row in rows)), sum(row.n for row in rows))
        for when, rows in _rows(run, measure, "near_ties").items()
    }
    if not any(ties for ties, _ in counts.values()):
        return None
    shown = ", ".join(f"{ties:,} of {n:,} {when}" for when, (ties, n) in counts.items())
    return f"Items whose two best candidates are nearly tied, so that rounding may decide: {shown}."


def _rows(run: Run, measure: Measure, metric: str) -> dict[str, Sequence[Result]]:
    """`before` and `after` -> the rows of another metric of the benchmark."""
    found = {
        when: [r for r in e.results if (r.benchmark, r.metric) == (measure.benchmark, metric)]
        for when, e in run.evaluations.items()
    }
    return {when: rows for when, rows in found.items() if rows}
