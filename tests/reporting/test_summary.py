"""What changed, and whether it is significant."""

import json
from pathlib import Path
from typing import Any

import pytest

from xalign.reporting.measures import Measure, change_of, ordered_languages, role_of, verdict_of
from xalign.reporting.records import MEAN, Difference
from xalign.reporting.run_folder import load_run
from xalign.reporting.summary import findings_of, gaps_of, headlines_of, tables_of


def difference(metric: str, change: float, p_adjusted: float | None) -> Difference:
    return Difference(
        benchmark="b", language="fr", metric=metric, before=1.0, after=1.0 + change, difference=change,
        p_adjusted=p_adjusted,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "change", "p_adjusted", "verdict"),
    [
        ("retrieval@1", 0.1, 0.01, "gain"),
        ("retrieval@1", -0.1, 0.01, "loss"),
        ("bits_per_byte", 0.1, 0.01, "loss"),
        ("bits_per_byte", -0.1, 0.01, "gain"),
        ("accuracy", 0.1, 0.05, "same"),
        ("accuracy", 0.1, None, "unknown"),
    ],
)
def test_verdict(metric: str, change: float, p_adjusted: float | None, verdict: str) -> None:
    assert verdict_of(difference(metric, change, p_adjusted)) == verdict


def test_verdict_uses_the_adjusted_p_value(run_dir: Path) -> None:
    edit(run_dir, "tatoeba", "retrieval@1", "fr", p_value=0.02, p_adjusted=0.2)
    change = change_of(load_run(run_dir), Measure(benchmark="tatoeba", metric="retrieval@1", layer=9), "fr")
    assert change.verdict == "same"


def test_findings_name_losses(run_dir: Path) -> None:
    edit(run_dir, "tatoeba", "retrieval@1", "de", difference=-0.2, p_adjusted=0.001)
    found = {(f.measure.benchmark, f.measure.metric): f for f in findings_of(load_run(run_dir))}
    finding = found["tatoeba", "retrieval@1"]
    assert finding.losses == ("German",)
    assert "German" not in finding.gains
    assert "Spanish" in finding.gains
    assert len(finding.gains) + len(finding.losses) + len(finding.same) == 11


def test_one_table_a_set_and_one_for_a_benchmark_with_other_languages(run_dir: Path) -> None:
    file = run_dir / "evaluation/before.json"
    content = json.loads(file.read_text())
    content["results"].append({"benchmark": "xcopa", "language": "qu", "metric": "accuracy", "value": 0.5})
    file.write_text(json.dumps(content))
    tables = {table.title: table for table in tables_of(load_run(run_dir))}
    assert list(tables) == ["heldout", "tatoeba", "XCOPA"]
    assert [m.label for m in tables["heldout"].measures] == [
        "Retrieval@1", "Retrieval@1, centred", "MEXA", "Bits per byte", "Translation choice",
    ]  # fmt: skip
    assert [row.name for row in tables["XCOPA"].rows] == ["Quechua", "Mean over languages"]


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
        "Centred, best layer",
        "English bits per byte",
    ]
    first, best = headlines_of(run)[:2]
    row = run.difference("heldout", "retrieval@1", MEAN, 9)
    assert row is not None
    assert (first.change.before, first.change.after, first.change.low) == (row.before, row.after, row.low)
    row = run.difference("heldout", "retrieval@1_best", MEAN, None)
    assert row is not None
    assert (best.change.before, best.change.after, best.change.low) == (row.before, row.after, row.low)


def test_unfinished_run_says_what_it_lacks(run_dir: Path) -> None:
    (run_dir / "evaluation/after.json").unlink()
    (run_dir / "evaluation/comparison.json").unlink()
    run = load_run(run_dir)
    assert any("has not finished" in gap for gap in gaps_of(run))
    assert all(headline.change.after is None for headline in headlines_of(run))
    assert findings_of(run) == []


def edit(run_dir: Path, benchmark: str, metric: str, language: str, **changes: Any) -> None:
    file = run_dir / "evaluation/comparison.json"
    rows = json.loads(file.read_text())
    wanted = (benchmark, metric, language, 9)
    (row,) = [r for r in rows if (r["benchmark"], r["metric"], r["language"], r["layer"]) == wanted]
    row.update(changes)
    file.write_text(json.dumps(rows))
