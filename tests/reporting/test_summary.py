"""What changed, and whether it is significant."""

import json
from pathlib import Path
from typing import Any

import pytest

from xalign.evaluation.metrics import KNOWN, MEAN
from xalign.evaluation.statistics import Comparison
from xalign.reporting.formatting import level
from xalign.reporting.measures import change_of, measure_of, ordered_languages, role_of, verdict_of
from xalign.reporting.run_folder import load_run
from xalign.reporting.summary import (
    findings_of,
    gaps_of,
    headlines_of,
    means_by_verdict,
    notes_on_tests,
    tables_of,
)


def difference(metric: str, change: float, p_adjusted: float) -> Comparison:
    return Comparison(
        benchmark="b", language="fr", metric=metric, layer=None, before=1.0, after=1.0 + change,
        difference=change, low=change, high=change, p_value=0.001, p_adjusted=p_adjusted, n=9,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "change", "p_adjusted", "verdict"),
    [
        ("retrieval@1", 0.1, 0.01, "gain"),
        ("retrieval@1", -0.1, 0.01, "loss"),
        ("bits_per_byte", 0.1, 0.01, "loss"),
        ("bits_per_byte", -0.1, 0.01, "gain"),
        ("accuracy", 0.1, 0.05, "same"),
        ("chrf++_into", 0.1, 0.01, "gain"),
        ("reference_bits_per_byte_into", 0.1, 0.01, "loss"),
    ],
)
def test_verdict(metric: str, change: float, p_adjusted: float, verdict: str) -> None:
    assert verdict_of(difference(metric, change, p_adjusted), KNOWN[metric]) == verdict


def test_verdict_uses_the_adjusted_p_value(run_dir: Path) -> None:
    edit(run_dir, "tatoeba", "retrieval@1", "fr", p_value=0.02, p_adjusted=0.2)
    run = load_run(run_dir)
    change = change_of(run, measure_of(run, "tatoeba", "retrieval@1", 9), "fr")
    assert change.verdict == "same"


def test_findings_name_losses(run_dir: Path) -> None:
    edit(run_dir, "tatoeba", "retrieval@1", "de", difference=-0.2, p_adjusted=0.001)
    found = {(f.measure.benchmark, f.measure.name): f for f in findings_of(load_run(run_dir))}
    finding = found["tatoeba", "retrieval@1"]
    assert finding.losses == ("German",)
    assert "German" not in finding.gains
    assert "Spanish" in finding.gains
    assert len(finding.gains) + len(finding.losses) + len(finding.same) == 11


def test_one_table_a_set_one_for_in_context_benchmarks_one_for_translation(run_dir: Path) -> None:
    file = run_dir / "evaluation/before.json"
    content = json.loads(file.read_text())
    row = {"benchmark": "heldout", "language": "qu", "metric": "chrf++_into", "value": 20.5, "n": 3}
    content["results"].append(row)
    file.write_text(json.dumps(content))
    tables = {table.title: table for table in tables_of(load_run(run_dir))}
    assert list(tables) == ["heldout", "tatoeba", "Translation, heldout", "In-context benchmarks"]
    assert [m.label for m in tables["heldout"].measures] == [
        "Retrieval@1", "Retrieval@1, centred", "MEXA", "Bits per byte",
    ]  # fmt: skip
    assert [m.label for m in tables["In-context benchmarks"].measures] == ["Translation choice", "XNLI"]
    assert [row.name for row in tables["Translation, heldout"].rows] == ["Quechua", "Mean over languages"]


def test_means_of_groups_are_those_of_their_languages(run_dir: Path) -> None:
    table = next(t for t in tables_of(load_run(run_dir)) if t.title == "In-context benchmarks")
    groups = {row.name: row.changes for row in table.groups}
    # XNLI: Swahili alone is no group; of the translation choice's languages only fr, de, ... are high.
    assert list(groups) == [
        "high-resource", "mid-resource", "Latin script", "other scripts", "Cyrillic script",
    ]  # fmt: skip
    xnli = {name: changes[1] for name, changes in groups.items()}
    assert xnli["high-resource"].before == pytest.approx((0.62 + 0.5 + 0.52 + 0.45 + 0.44) / 5)
    assert xnli["mid-resource"].after == pytest.approx((0.42 + 0.43) / 2 + 0.02)
    assert xnli["Cyrillic script"].before == pytest.approx((0.44 + 0.43) / 2)
    assert xnli["Cyrillic script"].verdict == "unknown"
    assert groups["Cyrillic script"][0].before is None


def test_groups_average_over_languages_measured_both_times(run_dir: Path) -> None:
    file = run_dir / "evaluation/after.json"
    content = json.loads(file.read_text())
    lost = ("xnli", "accuracy", "bg")
    content["results"] = [
        r for r in content["results"] if (r["benchmark"], r["metric"], r["language"]) != lost
    ]
    file.write_text(json.dumps(content))
    edit_out(run_dir, "xnli", "bg")
    table = next(t for t in tables_of(load_run(run_dir)) if t.title == "In-context benchmarks")
    groups = {row.name: row.changes[1] for row in table.groups}
    # Bulgarian was in two groups with one other language each.
    assert groups["mid-resource"].before is None
    assert "Cyrillic script" not in groups
    assert groups["other scripts"].before == pytest.approx((0.45 + 0.42 + 0.44) / 3)


def test_means_are_told_by_what_the_test_says(run_dir: Path) -> None:
    means = means_by_verdict(findings_of(load_run(run_dir)))
    assert "XNLI" in means["gain"]
    edit(run_dir, "xnli", "accuracy", "mean", layer=None, p_adjusted=0.3)
    means = means_by_verdict(findings_of(load_run(run_dir)))
    assert "XNLI" in means["same"]
    assert "XNLI" not in means["gain"]


def test_a_compared_figure_is_shown_as_it_was_compared(run_dir: Path) -> None:
    # chrF++: the results hold that of the whole set, the comparison the mean over sentences.
    edit(run_dir, "xnli", "accuracy", "fr", layer=None, before=0.11, after=0.12, difference=0.01)
    run = load_run(run_dir)
    change = change_of(run, measure_of(run, "xnli", "accuracy"), "fr")
    assert (change.before, change.after, change.n) == (0.11, 0.12, 100)


def test_languages_keep_the_order_of_the_config_whatever_the_spelling(run_dir: Path) -> None:
    run = load_run(run_dir)
    assert ordered_languages(run, {"zzz", "spa", "deu", "fr", "eng", "cmn", MEAN}) == [
        "eng", "fr", "deu", "cmn", "spa", "zzz",
    ]  # fmt: skip
    assert [role_of(run, code) for code in ("eng", "cmn", "spa")] == ["pivot", "trained", "unseen"]


def test_headlines(run_dir: Path) -> None:
    run = load_run(run_dir)
    labels = [headline.label for headline in headlines_of(run)]
    assert labels == [
        "Retrieval@1, layer 9",
        "Retrieval@1, best layer",
        "Retrieval@1, centred, best layer",
        "Translation choice",
        "XNLI",
        "English bits per byte",
    ]
    assert headlines_of(run)[4].note == "mean accuracy, 8 languages, chance 0.333"
    first, best = headlines_of(run)[:2]
    row = run.difference("heldout", "retrieval@1", MEAN, 9)
    assert row is not None
    assert (first.change.before, first.change.after, first.change.low) == (
        row.before,
        row.after,
        row.low_adjusted,
    )
    row = run.difference("heldout", "retrieval@1_best", MEAN, None)
    assert row is not None
    assert (best.change.before, best.change.after, best.change.low) == (
        row.before,
        row.after,
        row.low_adjusted,
    )


def test_notes_say_what_was_corrected_together_and_what_an_interval_covers(run_dir: Path) -> None:
    stars, brackets, seeds = notes_on_tests(load_run(run_dir))
    assert "over all 80 comparisons of a language and, apart from them, over all 7 means" in stars
    assert "(99.75 % for languages, 97.5 % for means)" in brackets
    assert "covers the true difference with 95 % or more" in brackets
    assert "not over seeds" in seeds


def test_intervals_of_earlier_versions_which_had_other_tests_are_not_shown(run_dir: Path) -> None:
    file = run_dir / "evaluation/comparison.json"
    new = {"low_adjusted", "high_adjusted", "level_adjusted", "comparisons"}
    rows = [{k: v for k, v in row.items() if k not in new} for row in json.loads(file.read_text())]
    file.write_text(json.dumps(rows))
    run = load_run(run_dir)
    change = headlines_of(run)[0].change
    assert (change.low, change.high, change.verdict) == (None, None, "gain")
    assert "An earlier version made this comparison" in notes_on_tests(run)[0]


def test_a_figure_without_an_interval_is_read_and_shown(run_dir: Path) -> None:
    """Nothing changed, or too few items."""
    nothing = dict.fromkeys(("low", "high", "low_adjusted", "high_adjusted"))
    edit(run_dir, "xnli", "accuracy", "fr", layer=None, difference=0.0, p_adjusted=1.0, **nothing)
    run = load_run(run_dir)
    change = change_of(run, measure_of(run, "xnli", "accuracy"), "fr")
    assert (change.low, change.verdict) == (None, "same")


@pytest.mark.parametrize(("value", "text"), [(0.95, "95 %"), (0.975, "97.5 %"), (1 - 0.05 / 160, "99.969 %")])
def test_levels_are_told_from_100(value: float, text: str) -> None:
    assert level(value) == text


def test_unfinished_run_says_what_it_lacks(run_dir: Path) -> None:
    (run_dir / "evaluation/after.json").unlink()
    (run_dir / "evaluation/comparison.json").unlink()
    run = load_run(run_dir)
    assert any("has not finished" in gap for gap in gaps_of(run))
    assert all(headline.change.after is None for headline in headlines_of(run))
    assert findings_of(run) == []


def edit_out(run_dir: Path, benchmark: str, language: str) -> None:
    file = run_dir / "evaluation/comparison.json"
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([r for r in rows if (r["benchmark"], r["language"]) != (benchmark, language)]))


def edit(
    run_dir: Path, benchmark: str, metric: str, language: str, layer: int | None = 9, **changes: Any
) -> None:
    file = run_dir / "evaluation/comparison.json"
    rows = json.loads(file.read_text())
    wanted = (benchmark, metric, language, layer)
    (row,) = [r for r in rows if (r["benchmark"], r["metric"], r["language"], r["layer"]) == wanted]
    row.update(changes)
    file.write_text(json.dumps(rows))
