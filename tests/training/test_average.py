"""Averaging late steps: what is exported is their mean, and an interrupted run has the same one."""

from pathlib import Path

import pytest
import torch
from tiny import tiny_backbone
from training_helpers import power_cut, small_config, small_inputs, timeless

from xalign.base.errors import ConfigError
from xalign.config.schema import Config
from xalign.models import adapters
from xalign.training.checkpoints import restore_chosen
from xalign.training.fit import fit
from xalign.training.module import AlignedModel
from xalign.workspace.folder import RunFolder

STEP = AlignedModel.training_step


def fitted(config: Config, path: Path) -> dict[str, torch.Tensor]:
    """What is trained at the end, after the round trip through the files."""
    backbone = tiny_backbone("llama")
    adapter = adapters.attach(backbone, config.adapter)
    path.mkdir(exist_ok=True)
    fit(config, RunFolder(path), small_inputs(config, backbone, adapter))
    restore_chosen(backbone, path / "checkpoints")
    return {n: p.detach().clone() for n, p in backbone.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_the_last_step_gives_way_to_the_mean_of_late_ones(
    adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [] if adapter == "lora" else ["adapter=full", "loss.retention_weight=0"]
    after: list[dict[str, torch.Tensor]] = []

    def watched(self: AlignedModel, batch: object, batch_idx: int) -> None:
        STEP(self, batch, batch_idx)  # type: ignore[arg-type]
        named = self.backbone.named_parameters()
        after.append({n: p.detach().double().clone() for n, p in named if p.requires_grad})

    monkeypatch.setattr(AlignedModel, "training_step", watched)
    found = fitted(small_config(*changes, "trainer.average_from=0.5"), tmp_path / "run")
    assert len(after) == 6
    for name, value in found.items():
        mean = torch.stack([step[name] for step in after[3:]]).mean(0)
        torch.testing.assert_close(value.double(), mean, atol=1e-7, rtol=1e-6)
    moved = [name for name, value in found.items() if not torch.allclose(value.double(), after[-1][name])]
    assert moved


def test_a_resumed_run_has_the_same_mean(tmp_path: Path) -> None:
    config = small_config("trainer.average_from=0.3")
    whole = fitted(config, tmp_path / "whole")
    with power_cut(5):
        fitted(config, tmp_path / "cut")
    resumed = fitted(config, tmp_path / "cut")
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def test_sharded_parameters_are_not_averaged() -> None:
    with pytest.raises(ConfigError, match=r"trainer.average_from=0.5: not with strategy=fsdp"):
        small_config("trainer.average_from=0.5", "strategy=fsdp", "adapter=lora")
