"""What a run's numbers say: tables, main figures, findings, gaps.

The page, the terminal tables and the model card all show what is computed here, so they cannot disagree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xalign.base.languages import canonical, is_language
from xalign.evaluation.groups import mean_over, telling_groups
from xalign.evaluation.metrics import MEAN, Kind, Shown
from xalign.reporting.formatting import level
from xalign.reporting.measures import (
    Change,
    Measure,
    Verdict,
    change_of,
    codes_of,
    language_name,
    matching_of,
    measure_of,
    measures_of,
    ordered_languages,
    results_of,
    role_of,
    sentence_sets,
)
from xalign.reporting.records import Run

ONE_RUN = (
    "Significance is over the items of this one run, not over seeds; python -m xalign.report RUN RUN RUN, on "
    "runs that differ in their seed, gives intervals over seeds."
)
IN_CONTEXT = "In-context benchmarks"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A language's measurements; `role` is pivot, trained, unseen, mean, or group (not tested)."""

    language: str
    role: str
    changes: tuple[Change, ...]

    @property
    def name(self) -> str:
        """English name of the language, or what a group has in common."""
        if self.role == "group":
            return self.language
        return "Mean over languages" if self.role == "mean" else language_name(self.language)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Languages by measures. `rows` ends with the mean over languages; `groups` are means of some."""

    title: str
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    groups: tuple[Row, ...]


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


def tables_of(run: Run) -> list[Table]:
    """A table for each set of sentences, one for all in-context benchmarks, one for written translations.

    Measures of other benchmarks join the first set's table where that has their languages.
    """
    sets = sentence_sets(run)
    columns: dict[str, list[Measure]] = {name: [] for name in sets}
    for measure in measures_of(run):
        home = measure.benchmark
        if measure.in_context:
            home = IN_CONTEXT
        elif measure.generated:
            home = f"Translation, {home}"
        elif home not in sets and sets:
            codes = codes_of(run, [measure]) - {run.pivot}
            home = sets[0] if codes <= codes_of(run, columns[sets[0]]) else home
        columns.setdefault(home, []).append(measure)
    return [table_of(run, name, measures) for name, measures in columns.items() if measures]


def headlines_of(run: Run) -> list[Headline]:
    """Mean retrieval at the aligned layer and at each language's best; mean accuracy of each in-context
    benchmark; the pivot's bits per byte."""
    found = []
    for name in sentence_sets(run)[:1]:
        metric = matching_of(run, name)
        if run.aligned_layer is not None and metric is not None:
            change = change_of(run, measure_of(run, name, metric.name, run.aligned_layer), MEAN)
            label = f"{metric.label}, layer {run.aligned_layer}"
            found.append(Headline(label=label, note=f"mean, {name}", change=change))
        for row in dict.fromkeys(row.metric for row in results_of(run) if row.benchmark == name):
            measure = measure_of(run, name, row)
            if measure.metric.shown is Shown.headline:
                note = f"mean, {name}, each language at its best"
                found.append(Headline(label=measure.label, note=note, change=change_of(run, measure, MEAN)))
    for measure in measures_of(run):
        if measure.in_context:
            count = len(codes_of(run, [measure]))
            note = f"mean accuracy, {count} language{'s' if count > 1 else ''}"
            if (chance := measure.metric.chance) is not None:
                note += f", chance {chance:.3f}"
            found.append(Headline(label=measure.label, note=note, change=change_of(run, measure, MEAN)))
    for measure in measures_of(run):
        if measure.metric.kind is Kind.bits:
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


def means_by_verdict(findings: Sequence[Finding]) -> dict[Verdict, list[str]]:
    """Measures by whether their mean over languages is significantly better, worse, or neither."""
    found: dict[Verdict, list[str]] = {"gain": [], "same": [], "loss": []}
    for finding in findings:
        if finding.mean.verdict in found:
            found[finding.mean.verdict].append(finding.measure.heading)
    return found


def notes_on_tests(run: Run) -> tuple[str, ...]:
    """What stars and brackets mean, as sentences; none where nothing was tested."""
    shown = [
        row
        for row in run.comparison
        if row.layer in (None, run.aligned_layer)
        and run.metric(row.benchmark, row.metric).is_stated(row.language)
    ]
    if not shown:
        return ()
    families = {
        name: own[0]
        for name, own in (
            ("languages", [row for row in shown if row.language != MEAN]),
            ("means", [row for row in shown if row.language == MEAN]),
        )
        if own
    }
    levels = {name: row.level_adjusted for name, row in families.items()}
    if None in levels.values():
        return (
            "* significant at 5 %, adjusted for the number of languages. An earlier version made this "
            "comparison; its intervals came from other tests than its verdicts and are left out.",
            ONE_RUN,
        )
    counts = {"languages": "comparisons of a language", "means": "means over languages"}
    together = " and, apart from them, over ".join(
        f"all {row.comparisons} {counts[name]}" for name, row in families.items()
    )
    ends = ", ".join(f"{level(value)} for {name}" for name, value in levels.items() if value is not None)
    return (
        f"* significant at 5 %, corrected after Holm over {together} that are stated here.",
        f"In brackets: the interval of the difference, from the same test, at the level where the correction "
        f"ends ({ends}): it leaves out 0 just where the change is significant, and covers the true "
        "difference with 95 % or more.",
        ONE_RUN,
    )


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


def table_of(run: Run, title: str, measures: Sequence[Measure]) -> Table:
    """A table of some measures, under its title."""
    codes = [*ordered_languages(run, codes_of(run, list(measures))), MEAN]
    rows = tuple(
        Row(
            language=code,
            role="mean" if code == MEAN else role_of(run, code),
            changes=tuple(change_of(run, measure, code) for measure in measures),
        )
        for code in codes
    )
    return Table(title=title, measures=tuple(measures), rows=rows, groups=_groups(measures, rows[:-1]))


def both_times(changes: Mapping[str, Change]) -> tuple[dict[str, float], dict[str, float]]:
    """Figures before and after, of the languages that have both if any has."""
    before = {code: change.before for code, change in changes.items() if change.before is not None}
    after = {code: change.after for code, change in changes.items() if change.after is not None}
    both = before.keys() & after.keys()
    if not both:
        return before, after
    return {c: v for c, v in before.items() if c in both}, {c: v for c, v in after.items() if c in both}


def _groups(measures: Sequence[Measure], rows: Sequence[Row]) -> tuple[Row, ...]:
    """Means over groups of languages, for the measures whose languages fall into several groups."""
    found: dict[str, list[Change]] = {}
    for column, measure in enumerate(measures):
        changes = {row.language: row.changes[column] for row in rows}
        before, after = both_times(changes)
        codes = (
            [] if measure.lower_is_better else [code for code in changes if code in before or code in after]
        )
        # Groups go by canonical codes; results of other makers may spell theirs otherwise.
        spelt = {canonical(code) if is_language(code) else code: code for code in codes}
        for name, own in telling_groups(spelt).items():
            members = [spelt[code] for code in own]
            row = found.setdefault(name, [Change(before=None, after=None)] * len(measures))
            row[column] = Change(before=mean_over(before, members), after=mean_over(after, members))
    return tuple(Row(language=name, role="group", changes=tuple(row)) for name, row in found.items())
