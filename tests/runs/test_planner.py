"""What a plan counts, and that making one leaves nothing behind."""

import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console
from test_run import catalogues
from training_helpers import small_config

from xalign.config.schema import Config
from xalign.run import main
from xalign.runs import planner
from xalign.runs.planner import make_plan, print_plan


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    catalogues(tmp_path / "corpus")
    return small_config("data=files", "data.path=corpus", "trainer.micro_batch=128")


def printed(plan: planner.Plan, config: Config) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_plan(plan, config, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_plan_is_made_of_real_batches(config: Config) -> None:
    plan = make_plan(config)
    r, d, ffn, kv = config.adapter.r, 64, 128, 32
    low_rank = 2 * r * (d + d) + 2 * r * (d + kv) + 3 * r * (d + ffn)
    assert plan.trained == 4 * low_rank
    assert plan.micro_batch == 128
    assert set(plan.tokens) == {"contrastive", "instruction", "retention"}
    for name, tokens in plan.tokens.items():
        assert 10 < tokens <= plan.padded[name]
    # Of instructions, of retention, and of sentences that go through two blocks of four.
    assert plan.memory.gradients == 4 * (plan.trained + plan.trained + plan.trained // 2)
    assert plan.memory.optimizer == 8 * plan.trained
    assert plan.memory.rounded == 0  # in float32
    assert plan.seconds is not None
    assert sum(plan.phases.values()) <= plan.seconds
    shown = printed(plan, config)
    for word in ("trained", "contrastive", "retention", "activations", "micro-batch", "timed", "training"):
        assert word in shown
    assert not list(Path().glob("outputs*"))


def test_a_step_that_does_not_fit_is_not_tried(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "room_of", lambda *_: 1000)
    monkeypatch.setattr(planner, "_timed", lambda *_: pytest.fail("was tried"))
    plan = make_plan(config)
    assert not plan.fits
    assert "does not fit" in printed(plan, config)


def test_plan_on_the_command_line_starts_no_run(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["experiment=quick", "data.path=corpus", "plan=true", "run.dir=out", "trainer.steps=1"]
    monkeypatch.setattr(sys, "argv", ["xalign.run", *arguments])
    main()
    assert "Plan: tiny, 1 steps" in capsys.readouterr().out
    assert not os.path.exists("out")  # noqa: PTH110
    assert not Path("outputs").exists()
