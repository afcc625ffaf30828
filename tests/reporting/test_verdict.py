"""The first sentence: alignment, then what it cost, in the terminal, on the page and on the card alike."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from xalign.evaluation.metrics import BITS_PER_BYTE, MEAN, Metric, translated
from xalign.reporting.card import write_card
from xalign.reporting.console import print_comparison
from xalign.reporting.html import write_report
from xalign.reporting.run_folder import load_run
from xalign.reporting.verdict import opening_of

CHRF_INTO = "chrf++_into"


def change(metric: str, language: str, before: float, after: float, p: float, **more: Any) -> dict[str, Any]:
    """A row of `comparison.json`."""
    return {
        "benchmark": "heldout", "language": language, "metric": metric, "layer": None, "before": before,
        "after": after, "difference": after - before, "low": None, "high": None, "p_value": p,
        "p_adjusted": p, "n": 100,
    } | more  # fmt: skip


ALIGNED = change("retrieval@1", MEAN, 0.481, 0.812, 0.0001, layer=9)
SAME_BITS = [change("bits_per_byte", language, 1.5, 1.5, 0.9) for language in (MEAN, "en", "tr")]


def with_comparison(run_dir: Path, rows: list[dict[str, Any]]) -> Path:
    (run_dir / "evaluation" / "comparison.json").write_text(json.dumps(rows))
    return run_dir


def sentence(run_dir: Path, *rows: dict[str, Any]) -> str:
    opening = opening_of(load_run(with_comparison(run_dir, list(rows))))
    assert opening is not None
    return opening.sentence


def test_a_loss_in_use_is_named_with_its_languages(run_dir: Path) -> None:
    lost = [change(CHRF_INTO, code, 30.0, after, 0.001) for code, after in (("tr", 28.0), ("et", 25.0))]
    said = sentence(run_dir, ALIGNED, *SAME_BITS, *lost, change(CHRF_INTO, "fr", 30.0, 31.0, 0.001))
    assert said.startswith("Aligns (")
    assert "0.481 to 0.812" in said
    assert "but translates into Estonian and Turkish worse" in said
    assert "French" not in said
    assert "English" not in said


def test_a_loss_on_average_comes_first_and_with_its_size(run_dir: Path) -> None:
    lost = [
        change("bits_per_byte", MEAN, 1.5, 1.6, 0.001),
        change("bits_per_byte", "en", 1.5, 1.9, 0.001),
    ]
    said = sentence(run_dir, ALIGNED, *lost)
    assert "predicts text in the languages worse on average (Bits per byte: 1.500 to 1.600)" in said
    assert "most of all English" in said


def test_a_harmless_run_is_not_accused(run_dir: Path) -> None:
    assert "nothing measured of its use got significantly worse" in sentence(run_dir, ALIGNED, *SAME_BITS)
    # One of three at 0.03 does not survive the correction.
    near = [*SAME_BITS[:2], change("bits_per_byte", "tr", 1.5, 1.6, 0.03)]
    assert "nothing measured" in sentence(run_dir, ALIGNED, *near)


@pytest.mark.parametrize(
    ("after", "p", "begin"),
    [(0.49, 0.5, "Does not align measurably"), (0.2, 0.001, "Is less aligned than before")],
)
def test_no_alignment_is_said_too(run_dir: Path, after: float, p: float, begin: str) -> None:
    row = change("retrieval@1", MEAN, 0.481, after, p, layer=9)
    assert sentence(run_dir, row, *SAME_BITS).startswith(begin)


def test_use_that_was_not_measured_is_not_praised(run_dir: Path) -> None:
    assert "was not measured (benchmark=use)" in sentence(run_dir, ALIGNED)


def test_everybody_opens_with_the_same_sentence(run_dir: Path) -> None:
    said = sentence(run_dir, ALIGNED, change("bits_per_byte", "tr", 1.5, 1.6, 0.001))
    out = StringIO()
    print_comparison(run_dir, Console(file=out, width=200, highlight=False))
    assert out.getvalue().strip().startswith(said)
    assert said in write_report(run_dir).read_text(encoding="utf-8")
    card = write_card(run_dir).read_text(encoding="utf-8").split("\n---\n", 1)[1]
    assert card.index("predicts text in Turkish worse") < card.index("## What was done")


def test_before_a_comparison_there_is_none(run_dir: Path) -> None:
    assert opening_of(load_run(with_comparison(run_dir, []))) is None


def test_metrics_of_use_have_a_phrase_about_a_language() -> None:
    for metric in (BITS_PER_BYTE, *translated(Metric(name="m", label="M"))):
        assert metric.harm is not None
        assert "Turkish" in metric.harm.format(language="Turkish")
