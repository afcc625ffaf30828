"""Runs that differ in their seed only: the mean of each figure over them, with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from scipy.stats import t

from xalign.reporting.formatting import flattened
from xalign.reporting.measures import Change
from xalign.reporting.records import Run
from xalign.reporting.summary import Headline, Row, Table, headlines_of, tables_of
from xalign.workspace.content import MAY_CHANGE, NOT_CONTENT

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Finished runs of one config under several seeds. `titles` name the runs, in the order of `seeds`.

    Figures before and after are means over the runs; the interval of their difference is Student's t over
    the runs' differences, each figure by itself. It says what other seeds may give on the same items.
    """

    titles: tuple[str, ...]
    seeds: tuple[str, ...]
    headlines: tuple[Headline, ...]
    tables: tuple[Table, ...]

    @property
    def name(self) -> str:
        """'3 seeds (0, 1, 2)'."""
        return f"{len(self.seeds)} seeds ({', '.join(self.seeds)})"


SEED_NOTE = (
    "Over seeds: means of runs that differ in their seed only, and in brackets the 95 % t interval of the "
    "difference over these runs. It covers what training with other seeds gives on the same items, each "
    "figure by itself (not corrected for their number)."
)


def over_seeds(runs: Mapping[str, Run]) -> list[Seeds]:
    """The groups of two or more finished runs whose configs differ in the seed alone; a seed counts once."""
    groups: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for title, run in runs.items():
        if run.before is not None and run.after is not None:
            values = flattened(run.config)
            seed = values.pop("seed", "0")
            same = tuple(sorted((key, value) for key, value in values.items() if _decides(key)))
            groups.setdefault(same, {}).setdefault(seed, title)
    return [
        Seeds(
            titles=tuple(by_seed.values()),
            seeds=tuple(by_seed),
            headlines=_headlines([headlines_of(runs[title]) for title in by_seed.values()]),
            tables=_tables([tables_of(runs[title]) for title in by_seed.values()]),
        )
        for by_seed in groups.values()
        if len(by_seed) > 1
    ]


def averaged(changes: Sequence[Change]) -> Change:
    """Means over runs, and the t interval of the difference; no verdict."""
    found = [(c.before, c.after) for c in changes if c.before is not None and c.after is not None]
    if len(found) < len(changes):
        return Change(before=None, after=None)
    before, after = np.mean(found, axis=0).tolist()
    differences = np.array([new - old for old, new in found])
    spread = differences.std(ddof=1) / sqrt(len(found)) * t.ppf((1 + CONFIDENCE) / 2, len(found) - 1)
    middle = differences.mean()
    return Change(before=before, after=after, low=float(middle - spread), high=float(middle + spread))


def _decides(key: str) -> bool:
    return key.split(".")[0] not in NOT_CONTENT and key not in MAY_CHANGE


def _headlines(of_runs: Sequence[Sequence[Headline]]) -> tuple[Headline, ...]:
    by_label = [{headline.label: headline for headline in own} for own in of_runs]
    return tuple(
        replace(headline, change=averaged([own[label].change for own in by_label]))
        for label, headline in by_label[0].items()
        if all(label in own for own in by_label)
    )


def _tables(of_runs: Sequence[Sequence[Table]]) -> tuple[Table, ...]:
    """Tables, rows and measures that all runs have."""
    by_title = [{table.title: table for table in own} for own in of_runs]
    tables = []
    for title, first in by_title[0].items():
        own = [tables_by_title[title] for tables_by_title in by_title if title in tables_by_title]
        if len(own) == len(by_title) and all(table.measures == first.measures for table in own):
            rows = [{row.language: row for row in table.rows} for table in own]
            tables.append(
                Table(
                    title=title,
                    measures=first.measures,
                    rows=tuple(
                        _row([by_code[code] for by_code in rows])
                        for code in rows[0]
                        if all(code in by_code for by_code in rows)
                    ),
                    groups=(),
                )
            )
    return tuple(tables)


def _row(rows: Sequence[Row]) -> Row:
    columns = zip(*(row.changes for row in rows), strict=True)
    return replace(rows[0], changes=tuple(averaged(column) for column in columns))
