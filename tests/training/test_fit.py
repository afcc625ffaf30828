"""Fitting: resuming, signals, non-finite losses, the files that are left."""

import csv
import itertools
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import tiny_backbone
from training_helpers import PACKED, power_cut, small_config, small_inputs, timeless

from xalign.base.errors import RunError, Stopped
from xalign.config.schema import Config
from xalign.data.step import Part
from xalign.models import adapters
from xalign.models.adapters.base import Adapter
from xalign.models.backbone import Backbone
from xalign.objectives.base import Objective
from xalign.objectives.contrastive import Contrastive
from xalign.objectives.passes import Pass
from xalign.training.accumulate import accumulate
from xalign.training.checkpoints import load_state, newest
from xalign.training.fit import fit
from xalign.training.module import AlignedModel
from xalign.workspace.folder import RunFolder

STEP = AlignedModel.training_step


def saved_in(run: Path) -> dict[str, Any]:
    """What the newest checkpoint of a run holds."""
    found = newest(run / "checkpoints")
    assert found is not None
    return load_state(found)


def fitted(config: Config, path: Path, micro_batch: int | None = None) -> dict[str, torch.Tensor]:
    """Train in a folder, from its checkpoint if there is one; the trained parameters."""
    backbone = tiny_backbone("llama")
    return fitted_from(backbone, adapters.attach(backbone, config.adapter), config, path, micro_batch)


def fitted_from(
    backbone: Backbone, adapter: Adapter, config: Config, path: Path, micro_batch: int | None = None
) -> dict[str, torch.Tensor]:
    """The same of a model that has its adapter."""
    path.mkdir(exist_ok=True)
    arrangement = replace(PACKED, micro_batch=micro_batch)
    fit(config, RunFolder(path), small_inputs(config, backbone, adapter, arrangement=arrangement))
    return {n: p.detach().clone() for n, p in backbone.named_parameters() if p.requires_grad}


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    def wrapped(self: AlignedModel, batch: Any, batch_idx: int) -> None:
        if batch.step == step:
            action()
        STEP(self, batch, batch_idx)

    monkeypatch.setattr(AlignedModel, "training_step", wrapped)


def test_metrics_have_a_line_a_step(tmp_path: Path) -> None:
    fitted(small_config(), tmp_path / "run")
    lines = timeless(tmp_path / "run")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for key in ("loss", "loss/contrastive", "loss/instruction", "loss/retention", "lr", "gradient_norm",
                "gradient_norm/contrastive", "gradient_norm/instruction",
                "gradient_cosine/contrastive-instruction", "weight/contrastive"):  # fmt: skip
        assert key in lines[0]
    for line in lines:
        parts = line["loss/contrastive"], line["loss/instruction"], line["loss/retention"]
        weights = [objective.weight for objective in small_config().loss.objectives.values()]
        expected = sum(weight * part for weight, part in zip(weights, parts, strict=True))
        assert line["loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("how", ["ctrl-c", "crash", "crash between checkpoints"])
def test_a_resumed_run_ends_with_the_same_numbers(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config("adapter.dropout=0.1", "transforms=[code_switch,word_dropout]")
    whole = fitted(config, tmp_path / "whole")

    def crash() -> None:
        raise RuntimeError("power cut")

    action = {"ctrl-c": lambda: os.kill(os.getpid(), signal.SIGINT)}.get(how, crash)
    interrupt_at({"ctrl-c": 2, "crash": 4, "crash between checkpoints": 3}[how], monkeypatch, action)
    with pytest.raises((Stopped, RuntimeError)):
        fitted(config, tmp_path / "cut")
    monkeypatch.setattr(AlignedModel, "training_step", STEP)
    resumed = fitted(config, tmp_path / "cut")
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


@pytest.mark.parametrize("of", ["loss", "gradient"])
def test_non_finite_steps_are_skipped_and_a_few_in_a_row_stop_the_run(
    of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config("trainer.max_bad_steps=2")

    def poisoned(objective: Objective, run: Pass, part: Part) -> Any:
        loss, figures = accumulate(objective, run, part)
        if isinstance(objective, Contrastive) and run.step in (1, 3, 4):
            if of == "loss":
                return loss * float("nan"), figures
            next(p.grad for p in run.backbone.parameters() if p.grad is not None)[0] = float("inf")
        return loss, figures

    monkeypatch.setattr("xalign.training.module.accumulate", poisoned)
    with pytest.raises(RunError, match=r"2 steps in a row had a non-finite loss .*step 5"):
        fitted(config, tmp_path / "run")
    assert [line["skipped"] for line in timeless(tmp_path / "run")] == [0, 1, 0, 1, 1]
    saved = saved_in(tmp_path / "run")
    assert saved["next_step"] == 5
    assert all(torch.isfinite(v).all() for v in saved["state_dict"].values())


def test_a_finished_training_is_taken_up_as_it_is(tmp_path: Path) -> None:
    """As after a kill during export."""
    first = fitted(small_config(), tmp_path / "run")
    assert [p.name for p in sorted((tmp_path / "run/checkpoints").iterdir())] == [
        "step-00000004",
        "step-00000006",
    ]
    again = fitted(small_config(), tmp_path / "run")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert len(timeless(tmp_path / "run")) == 6


@pytest.mark.parametrize(
    ("logger", "left"),
    [
        ("csv", "logs/metrics.csv"),
        ("tensorboard", "logs/tensorboard/events*"),
        ("wandb", "wandb/offline-run-*"),
    ],
)
def test_loggers(logger: str, left: str, tmp_path: Path) -> None:
    fitted(small_config(f"logger={logger}", "trainer.steps=2"), tmp_path / "run")
    assert list((tmp_path / "run").glob(left))


def test_a_resumed_run_logs_into_the_same_table(tmp_path: Path) -> None:
    with power_cut(3):
        fitted(small_config("logger=csv"), tmp_path / "run")
    fitted(small_config("logger=csv"), tmp_path / "run")
    with (tmp_path / "run/logs/metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [float(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [float(row["loss"]) for row in rows] == [line["loss"] for line in lines]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    ],
)
def test_out_of_memory_goes_on_in_smaller_parts(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted(small_config(), tmp_path / "whole")

    def fail() -> None:
        raise error

    interrupt_at(3, monkeypatch, fail)
    with pytest.raises(RunError, match=r"out of memory in training .*the same command goes on.*=32\."):
        fitted(small_config(), tmp_path / "run", 64)
    folder = RunFolder(tmp_path / "run")
    assert folder.known() == {"micro_batch": 32}
    monkeypatch.setattr(AlignedModel, "training_step", STEP)
    resumed = fitted(small_config(), tmp_path / "run", 32)
    assert [line["step"] for line in timeless(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-6)


def test_a_jump_of_the_clock_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day is set back a day and on two: as many checkpoints, the same lines."""
    days = itertools.cycle([0, -86_400, 172_800])
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + next(days))
    saved: list[int] = []
    monkeypatch.setattr(
        "xalign.training.callbacks.checkpoint.save", lambda trainer, folder, kind, step: saved.append(step)
    )
    fitted(small_config(), tmp_path / "run")
    assert saved == [2, 4, 6]
    seconds = [json.loads(line)["seconds/forward"] for line in (tmp_path / "run/metrics.jsonl").open()]
    assert all(0 <= value < 100 for value in seconds)


def test_checkpoints_by_the_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute a step on the one clock that counts: one is due after three steps; saving reads it too."""
    minutes = itertools.count()
    monkeypatch.setattr(
        "xalign.training.callbacks.checkpoint.time", SimpleNamespace(monotonic=lambda: 60.0 * next(minutes))
    )
    saved: list[int] = []
    monkeypatch.setattr(
        "xalign.training.callbacks.checkpoint.save", lambda trainer, folder, kind, step: saved.append(step)
    )
    fitted(
        small_config("trainer.checkpoint_every=1000", "trainer.checkpoint_minutes=2.5", "trainer.steps=7"),
        tmp_path / "run",
    )
    assert saved == [3, 6, 7]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_lets_the_step_finish_and_saves_it(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(2, monkeypatch, lambda: os.kill(os.getpid(), number))
    with pytest.raises(Stopped, match=f"stopped by {number.name}; step 3 is saved") as stopped:
        fitted(small_config(), tmp_path / "run")
    assert stopped.value.exit_code == 128 + number
    assert saved_in(tmp_path / "run")["next_step"] == 3
    assert [line["step"] for line in timeless(tmp_path / "run")] == [1, 2, 3]


def test_a_lost_file_system_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at(3, monkeypatch, lambda: (tmp_path / "run").rename(tmp_path / "away"))
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*run/metrics\.jsonl'"):
        fitted(small_config(), tmp_path / "run")
    monkeypatch.setattr(AlignedModel, "training_step", STEP)
    (tmp_path / "away").rename(tmp_path / "run")
    fitted(small_config(), tmp_path / "run")
    assert [line["step"] for line in timeless(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]


def test_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with power_cut(3):
        fitted(small_config(), tmp_path / "run")
    before = (tmp_path / "run/checkpoints/step-00000002/state.ckpt").read_bytes()

    def full(self: Any, path: Path, *_: Any, **__: Any) -> None:
        Path(path).write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file: No space left on device")

    monkeypatch.setattr("pytorch_lightning.Trainer.save_checkpoint", full)
    with pytest.raises(RunError, match=r"cannot write the checkpoint .*No space left.*are kept"):
        fitted(small_config(), tmp_path / "run")
    assert (tmp_path / "run/checkpoints/step-00000002/state.ckpt").read_bytes() == before
    assert [p.name for p in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000002"]


def test_checkpoints_hold_trained_parameters_only(tmp_path: Path) -> None:
    trained = fitted(small_config(), tmp_path / "run")
    saved = saved_in(tmp_path / "run")
    assert {name.removeprefix("backbone.") for name in saved["state_dict"]} == set(trained)


def test_one_batch_can_be_learnt_by_heart(tmp_path: Path) -> None:
    """debug=overfit: if the losses did not fall on one batch, gradients would be wrong."""
    fitted(
        small_config("debug=overfit", "trainer.steps=60", "optimizer.lr=5e-3", "loss.retention_weight=0",
                     "trainer.checkpoint_every=1000", "adapter.r=16"),
        tmp_path / "run",
    )  # fmt: skip
    lines = timeless(tmp_path / "run")
    assert lines[-1]["loss/contrastive"] < 0.3 * lines[0]["loss/contrastive"]
    assert lines[-1]["loss/instruction"] < 0.9 * lines[0]["loss/instruction"]
