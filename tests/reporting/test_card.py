"""The model card: front matter that the hub can read, numbers of the run, nothing that data can break."""

from collections.abc import Callable
from pathlib import Path

import yaml

from xalign.reporting.card import write_card
from xalign.reporting.run_folder import load_run

MakeRun = Callable[..., Path]


def front_matter(card: str) -> dict[str, object]:
    _, front, _ = card.split("---\n", 2)
    parsed = yaml.safe_load(front)
    assert isinstance(parsed, dict)
    return parsed


def test_card(run_dir: Path) -> None:
    card = write_card(run_dir).read_text()
    front = front_matter(card)
    assert front["base_model"] == "google/gemma-3-270m"
    assert front["license"] == "gemma"
    assert front["language"] == ["en", "fr", "de", "zh", "ar", "tr", "id", "th", "et", "hi", "sw"]
    run = load_run(run_dir)
    row = run.difference("tatoeba", "retrieval@1", "fr", 9)
    assert row is not None
    line = card.split("### tatoeba")[1].split("| French |")[1].splitlines()[0]
    assert line.startswith(f" {row.before:.3f} → {row.after:.3f} \\* |")
    table = [line for line in card.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {6, 5, 4}  # four measures, three, and two
    assert "Spanish (not trained on)" in card
    mean = run.difference("tatoeba", "retrieval@1", "mean", 9)
    assert mean is not None
    line = card.split("### tatoeba")[1].split("| Mean over languages |")[1].splitlines()[0]
    assert line.startswith(
        f" {mean.before:.3f} → {mean.after:.3f} \\* [+{mean.low_adjusted:.3f}, +{mean.high_adjusted:.3f}] |"
    )
    assert "covers the true difference with 95 % or more" in card
    assert "not over seeds" in card
    assert "\\* significant at 5 %, corrected after Holm over all 80 comparisons" in card
    assert "\nXNLI: accuracy, zero-shot, chance 0.333. Gap from English" in card
    better = next(line for line in card.splitlines() if "Mean over languages significantly better:" in line)
    assert "XNLI" in better
    assert "NAACL 2024" in card


def test_card_of_a_local_unmeasured_model(tmp_path: Path, make_run: MakeRun) -> None:
    local = tmp_path / "base" / "model"
    local.mkdir(parents=True)
    overrides = {"model": {"name": "x|y\n<b>", "path": str(local), "depth": 18}}
    run_dir = make_run(tmp_path / "demo", overrides=overrides)
    (run_dir / "evaluation/after.json").unlink()
    (run_dir / "evaluation/comparison.json").unlink()
    card = write_card(run_dir).read_text()
    assert "base_model" not in front_matter(card)
    assert front_matter(card)["license"] == "other"
    assert "# x&#124;y &lt;b>, aligned" in card
    assert "not been measured after training" in card


def test_base_model_from_the_hub(tmp_path: Path, make_run: MakeRun) -> None:
    overrides = {"model": {"name": "mine", "path": "facebook/xglm-564M"}}
    front = front_matter(write_card(make_run(tmp_path / "demo", overrides=overrides)).read_text())
    assert (front["base_model"], front["license"]) == ("facebook/xglm-564M", "mit")


def test_random_weights_have_no_base_model(tmp_path: Path, make_run: MakeRun) -> None:
    overrides = {"model": {"name": "xglm", "path": None, "pretrained": False}}
    front = front_matter(write_card(make_run(tmp_path / "demo", overrides=overrides)).read_text())
    assert ("base_model" in front, front["license"]) == (False, "other")
