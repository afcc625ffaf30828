"""experiments/kill_test, a few kills of it: in checkpoint writing, evaluation, export, metrics."""

import shutil
import signal
import sys
from pathlib import Path

import pytest

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "kill_test"
sys.path.append(str(EXPERIMENT))  # stays: the attempts' processes look there, too

from killing import Moment, Outcome, attempt, campaign, differences  # noqa: E402


def overrides(place: Path) -> list[str]:
    folder = place / "corpus" / "zh_Hans" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    entries = (f'msgid "Please open the file {i}"\nmsgstr "打开 {i * 7} donc"\n' for i in range(120))
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    (folder / "django.po").write_text(head + "\n".join(entries), encoding="utf-8")
    return [
        "experiment=quick", f"data.path={place / 'corpus'}", "trainer.precision=fp32", "trainer.threads=1",
        "benchmark.precision=fp32", "benchmark.tasks=[bits_per_byte]", "benchmark.limit=4",
        "loss.retention_weight=0", "adapter.dropout=0.1", "trainer.steps=5", "loss.queue=16",
    ]  # fmt: skip


MOMENTS = [
    Moment("before", "evaluation", 9),
    Moment("metrics", "metrics.jsonl", 8),
    Moment("checkpoint", "/checkpoints", 8),
    Moment("checkpoint", "step-00000004.part", 4),
    Moment("export", "/model.part", 3),
    Moment("after", "/evaluation/.after", 1),
    Moment("report", "report.html", 1),
]


def test_killed_at_every_stage_a_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    asked = overrides(tmp_path)
    assert attempt(asked, tmp_path / "whole", None).exit_code == 0
    heard: list[tuple[Moment, bool, Outcome, list[str] | None]] = []
    runs = campaign(
        asked, tmp_path / "cut", tmp_path / "whole/run", MOMENTS, len(MOMENTS), lambda *all: heard.append(all)
    )
    assert runs == 1
    assert all(hit for _, hit, _, _ in heard)
    assert [problems for *_, problems in heard] == [None] * (len(MOMENTS) - 1) + [[]]
    # What was half done when it struck: the kills are where they should be.
    assert heard[3][2].found == "checkpoints/step-00000004.part"
    assert heard[4][2].found == "model.part"
    assert heard[4][2].step == 5


def test_a_polite_signal_during_evaluation_loses_nothing_either(tmp_path: Path) -> None:
    """Before, during and after training: SIGTERM says so, and the run goes on to the same end."""
    asked = [
        *overrides(tmp_path), "benchmark@validation=heldout", "validation.tasks=[bits_per_byte]",
        "validation.limit=4", "trainer.evaluate_every=2",
    ]  # fmt: skip
    assert attempt(asked, tmp_path / "whole", None).exit_code == 0
    cut = tmp_path / "cut"
    for where, count in (("cache/evaluations", 5), ("metrics.jsonl", 3), ("/evaluation/.after", 1)):
        moment = Moment("term", where, count, number=signal.SIGTERM)
        assert attempt(asked, cut, moment).exit_code == 128 + signal.SIGTERM
        last = (cut / "output.log").read_text().splitlines()[-1]
        assert last.startswith("xalign: stopped by SIGTERM; ")
    assert attempt(asked, cut, None).exit_code == 0
    assert differences(cut / "run", tmp_path / "whole/run") == []


@pytest.mark.slow
def test_two_ranks_killed_from_outside_end_with_the_same_bits(tmp_path: Path) -> None:
    asked = [*overrides(tmp_path), "strategy=ddp", "trainer.devices=2", "trainer.batch_size=4"]
    assert attempt(asked, tmp_path / "whole", None).exit_code == 0
    outcomes = []
    for moment in (Moment("writing", "step-00000002.part", 3, rank=0), Moment("clock", seconds=8), None):
        outcomes.append(attempt(asked, tmp_path / "cut", moment))
    assert [outcome.exit_code for outcome in outcomes] == [1, -signal.SIGKILL, 0]
    assert outcomes[0].found == "checkpoints/step-00000002.part"
    log = (tmp_path / "cut/output.log").read_text()
    assert "xalign: rank 0 of 2 on " in log
    assert " was killed by SIGKILL" in log
    assert differences(tmp_path / "cut/run", tmp_path / "whole/run") == []
    shutil.rmtree(tmp_path / "cut")
