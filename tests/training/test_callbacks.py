"""Callbacks of Lightning and one's own: they see every figure; what they log is in the step's line."""

import json
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CPUAccelerator
from test_evaluate import BITS, MEASURED
from test_evaluate import fitted as measured_run
from training_helpers import fitted, small_config, timeless

from xalign.base.errors import ConfigError
from xalign.training.callbacks.evaluate import Evaluate
from xalign.training.checkpoints import newest
from xalign.training.module import AlignedModel

HERE = "test_callbacks"
NAMED = f"callbacks.mine._target_={HERE}.Seeing"
STOPPING = (
    "callbacks=[early_stopping]",
    f"callbacks.early_stopping.monitor={BITS}",
    "callbacks.early_stopping.patience=1",
    "trainer.evaluate_every=1",
    "loss.retention_weight=0",
)


class Seeing(pl.Callback):
    """Logs by Lightning's `log`, at the hook that it is told of, what it sees of others' figures."""

    def __init__(self, hook: str = "on_train_batch_end") -> None:
        setattr(self, hook, self._log)

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: Any) -> None:
        seen = {k: float(v) for k, v in trainer.callback_metrics.items() if not k.startswith("mine/")}
        for name, value in seen.items():
            pl_module.log(f"mine/{name}", value)


@pytest.mark.parametrize(("hook", "behind"), [("on_train_batch_start", 1), ("on_train_batch_end", 0)])
def test_ones_own_sees_every_figure_and_is_in_the_log(hook: str, behind: int, tmp_path: Path) -> None:
    config = small_config(f"+{NAMED}", f"+callbacks.mine.hook={hook}", "trainer.steps=3")
    fitted(config, tmp_path / "run")
    lines = timeless(tmp_path / "run")
    for line, seen in zip(lines[:-1] if behind else lines, lines[1:] if behind else lines, strict=True):
        for name in ("loss", "loss/contrastive", "gradient_norm", "lr"):
            assert seen[f"mine/{name}"] == pytest.approx(line[name])


def test_order_does_not_decide_what_is_logged(tmp_path: Path) -> None:
    both = [f"+callbacks.{name}._target_={HERE}.Seeing" for name in ("a", "z")]
    fitted(small_config(both[0], "callbacks=[lr_monitor]", "trainer.steps=2"), tmp_path / "before")
    fitted(small_config("callbacks=[lr_monitor]", both[1], "trainer.steps=2"), tmp_path / "after")
    assert timeless(tmp_path / "before") == timeless(tmp_path / "after")
    assert "mine/loss" in timeless(tmp_path / "before")[0]


def test_lightnings_own_monitors(tmp_path: Path) -> None:
    """They log to the trainer's logger; it lands in the step's line, whichever logger is configured."""
    for logger in ("csv", "none"):
        config = small_config(
            "callbacks=[lr_monitor,device_stats]", f"logger={logger}", "trainer.steps=2", "trainer.threads=1"
        )
        fitted(config, tmp_path / logger)
        lines = [json.loads(line) for line in (tmp_path / logger / "metrics.jsonl").read_text().splitlines()]
        rates = [[v for k, v in line.items() if k.startswith("lr-")] for line in lines]
        assert all(rates)
        assert rates[0][0] == pytest.approx(lines[0]["lr"])
        assert any("cpu_vm_percent" in key for key in lines[0])


def test_early_stopping_stops_saves_and_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [2.0, 1.0, 1.5, 0.5, 0.4, 0.3]  # bits a byte: less is better, which nobody has said

    def measure(self: Evaluate, module: AlignedModel) -> dict[str, float]:
        return {BITS: values[module.next_step - 1]}

    monkeypatch.setattr(Evaluate, "measure", measure)
    config = small_config(*MEASURED, *STOPPING)
    measured_run(config, tmp_path / "run")
    assert [line["step"] for line in timeless(tmp_path / "run")] == [1, 2, 3]
    saved = newest(tmp_path / "run" / "checkpoints")
    assert saved is not None
    assert saved.step == 3
    measured_run(config, tmp_path / "run")  # killed before its model was written
    assert [line["step"] for line in timeless(tmp_path / "run")] == [1, 2, 3]


def test_stock_early_stopping_works_on_measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Evaluate, "measure", lambda self, module: {BITS: 1.0})
    stock = [
        "+callbacks.stop._target_=pytorch_lightning.callbacks.EarlyStopping",
        f"+callbacks.stop.monitor={BITS}",
        "+callbacks.stop.patience=2",
        "+callbacks.stop.check_on_train_epoch_end=false",
    ]
    measured_run(
        small_config(*MEASURED, *stock, "trainer.evaluate_every=1", "loss.retention_weight=0"),
        tmp_path / "run",
    )
    assert len(timeless(tmp_path / "run")) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["+callbacks.mine.patience=3"], r"callbacks.mine._target_: required"),
        (["+callbacks.mine._target_=nowhere.at.All"], r"there is no package 'nowhere'"),
        (
            ["callbacks=[early_stopping]", "benchmark@validation=heldout", "trainer.evaluate_every=2",
             "callbacks.early_stopping.monitor=eval/heldout/retrieval/mean"],
            r"callbacks.early_stopping.monitor=.*did you mean 'eval/heldout/retrieval@1/mean'",
        ),
        (["callbacks=[early_stopping]"], r"monitor=.*nothing is chosen to measure during training"),
    ],
)  # fmt: skip
def test_mistakes_before_anything_is_run(given: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small_config(*given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([f"+callbacks.mine._target_={HERE}.Absent"], "cannot be made"),
        ([f"+{NAMED}", "+callbacks.mine.absent=3"], "cannot be made"),
        (["+callbacks.mine._target_=pathlib.Path"], "is no Lightning callback"),
        (["+callbacks.mine._target_=pytorch_lightning.callbacks.ModelCheckpoint"], "callbacks: "),
    ],
)
def test_what_cannot_be_a_callback_is_one_message(given: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        fitted(small_config(*given, "trainer.steps=1"), tmp_path / "run")


def test_the_accelerator_is_what_was_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Apple GPU, which Lightning would take by itself, is not taken while `cpu` is logged."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr("pytorch_lightning.accelerators.mps.MPSAccelerator.is_available", lambda: True)
    seen: list[object] = []

    class Looking(pl.Trainer):
        def fit(self, *args: Any, **options: Any) -> None:
            seen.append(self.accelerator)

    monkeypatch.setattr("xalign.training.fit.pl.Trainer", Looking)
    fitted(small_config("trainer.steps=1"), tmp_path / "run")
    assert [type(own) for own in seen] == [CPUAccelerator]
