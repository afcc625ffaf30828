"""What is said of in-context benchmarks beyond the numbers of their tables."""

import json
from pathlib import Path

from xalign.reporting.benchmarks import Benchmark, benchmarks_of
from xalign.reporting.run_folder import load_run


def xnli(run_dir: Path) -> Benchmark:
    return next(b for b in benchmarks_of(load_run(run_dir)) if b.measure.benchmark == "xnli")


def change_english(run_dir: Path, before: float, after: float) -> None:
    for name, value in (("before", before), ("after", after)):
        file = run_dir / f"evaluation/{name}.json"
        content = json.loads(file.read_text())
        for row in content["results"]:
            if (row["benchmark"], row["metric"], row["language"]) == ("xnli", "accuracy", "en"):
                row["value"] = value
        file.write_text(json.dumps(content))
    file = run_dir / "evaluation/comparison.json"
    rows = [r for r in json.loads(file.read_text()) if (r["benchmark"], r["language"]) != ("xnli", "en")]
    file.write_text(json.dumps(rows))


def test_every_benchmark_with_its_setting(run_dir: Path) -> None:
    found = {b.measure.label: b.setting for b in benchmarks_of(load_run(run_dir))}
    assert found == {
        "Translation choice": "accuracy, 2-shot, chance 0.250",
        "XNLI": "accuracy, zero-shot, chance 0.333",
    }


def test_chance_is_left_out_where_the_files_do_not_tell(run_dir: Path) -> None:
    """Those of older versions."""
    for name in ("before", "after"):
        file = run_dir / f"evaluation/{name}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "metrics": {}}))
    assert xnli(run_dir).setting == "accuracy, zero-shot"


def test_gap_by_hand(run_dir: Path) -> None:
    # The others' mean: 3.12 / 7 = 0.446 before; six gain 0.02 and Swahili 0.16: 3.40 / 7 = 0.486.
    assert xnli(run_dir).gap == (
        "Gap from English to the mean of the others: 0.174 before, 0.134 after: 23% closed (not tested). "
        "English itself: 0.620 before, 0.620 after."
    )


def test_wider_gap(run_dir: Path) -> None:
    change_english(run_dir, 0.62, 0.75)
    assert "52% wider" in str(xnli(run_dir).gap)  # 0.2643 / 0.1743 - 1


def test_gap_within_the_noise_is_not_closed(run_dir: Path) -> None:
    change_english(run_dir, 0.47, 0.47)
    assert "English was not significantly ahead before training" in str(xnli(run_dir).gap)
    assert "closed" not in str(xnli(run_dir).gap)


def test_no_gap_without_the_pivot(run_dir: Path) -> None:
    (choice,) = (b for b in benchmarks_of(load_run(run_dir)) if b.measure.benchmark == "translation_choice")
    assert choice.gap is None
    assert choice.notes == ()


def test_notes_on_calibration_and_near_ties(run_dir: Path) -> None:
    calibration, ties = xnli(run_dir).notes
    assert "0.300 before, 0.250 after (not tested" in calibration
    assert "8 of 800 before, 2 of 800 after" in ties
