"""Means and intervals over runs that differ in their seed only."""

from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import ttest_1samp

from xalign.reporting.measures import Change
from xalign.reporting.run_folder import load_run
from xalign.reporting.seeds import averaged, over_seeds

MakeRun = Callable[..., Path]


def test_interval_is_students() -> None:
    changes = [
        Change(before=0.1, after=0.1 + d, verdict="gain", low=0.0, n=9) for d in (0.2, 0.24, 0.31, 0.17)
    ]
    found = averaged(changes)
    reference = ttest_1samp([0.2, 0.24, 0.31, 0.17], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))
    assert (found.before, found.after) == pytest.approx((0.1, 0.33))
    assert (found.verdict, found.p_adjusted, found.n) == ("unknown", None, None)


def test_a_figure_that_a_run_lacks_has_no_mean() -> None:
    whole = Change(before=0.1, after=0.2)
    assert averaged([whole, Change(before=0.1, after=None), whole]) == Change(before=None, after=None)


def test_every_figure_and_language_over_seeds(tmp_path: Path, make_run: MakeRun) -> None:
    runs = {f"s{i}": load_run(make_run(tmp_path / f"s{i}", seed=i)) for i in range(3)}
    (group,) = over_seeds(runs)
    assert group.name == "3 seeds (0, 1, 2)"
    values = [run.difference("heldout", "retrieval@1", "fr", 9) for run in runs.values()]
    differences = [value.difference for value in values if value]
    (french,) = (row for row in group.tables[0].rows if row.language == "fr")
    reference = ttest_1samp(differences, 0).confidence_interval(0.95)
    assert french.changes[0].difference == pytest.approx(sum(differences) / 3)
    assert (french.changes[0].low, french.changes[0].high) == pytest.approx((reference.low, reference.high))
    assert [h.label for h in group.headlines][:2] == ["Retrieval@1, layer 9", "Retrieval@1, best layer"]
    assert [table.title for table in group.tables] == ["heldout", "tatoeba", "In-context benchmarks"]


def test_runs_are_grouped_by_what_decides_their_results(tmp_path: Path, make_run: MakeRun) -> None:
    def run(name: str, seed: int, **groups: dict[str, object]) -> Path:
        return make_run(tmp_path / name, seed=seed, overrides=groups)

    other = {"name": "afp", "tau": 0.1, "layer": 9}
    paths = [
        run("a0", 0, run={"dir": "outputs/a0"}, logger={"name": "wandb"}),
        run("b0", 0, loss=other),
        run("a1", 1, run={"dir": "outputs/a1"}),
        run("b1", 1, loss=other),
        run("again", 1),
        run("alone", 2, loss={"name": "afp", "tau": 0.2, "layer": 9}),
    ]
    groups = over_seeds({path.name: load_run(path) for path in paths})
    # A seed counts once: the same run twice says nothing of other seeds.
    assert [group.titles for group in groups] == [("a0", "a1"), ("b0", "b1")]


def test_unfinished_runs_do_not_count(tmp_path: Path, make_run: MakeRun) -> None:
    paths = [make_run(tmp_path / f"s{i}", seed=i) for i in range(2)]
    (paths[1] / "evaluation/after.json").unlink()
    assert over_seeds({path.name: load_run(path) for path in paths}) == []
