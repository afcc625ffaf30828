"""The share of the way that a run chooses on validation text, from training to the report."""

from pathlib import Path

import pytest
import torch
from test_run import catalogues
from training_helpers import small_config

from xalign.base.errors import ConfigError
from xalign.config.schema import Config, ModelConfig
from xalign.evaluation import blends
from xalign.models import adapters
from xalign.models.backbone import Backbone
from xalign.reporting.run_folder import load_run
from xalign.reporting.validation import chosen_share
from xalign.runs import experiment
from xalign.runs.measurement import load_backbone
from xalign.training.checkpoints import restore_chosen

HARMLESS = "eval/use/harmless/mean"
MEASURED = (
    "benchmark@validation=use",
    "validation.tasks=[retrieval,bits_per_byte]",
    "validation.precision=fp32",
)


def weights(backbone: Backbone) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in backbone.model.named_parameters()}


def config_in(place: Path, *changes: str) -> Config:
    corpus = catalogues(place / "corpus", rows=600)
    return small_config(
        *MEASURED, "data=files", f"data.path={corpus}", "benchmark.tasks=[bits_per_byte]", "loss=contrastive",
        "loss.layer=2", "loss.retention_weight=0", "adapter=full", "optimizer.lr=0.05",
        f"run.dir={place / 'run'}", *changes,
    )  # fmt: skip


def test_the_most_aligned_share_without_harm_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a rate at which text is predicted far worse in the end, part of the way is better than all of it."""
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    config = config_in(tmp_path, "export.blends=[0.02,1]")
    experiment.run(config)
    curve = {point.share: point.figures for point in blends.read(tmp_path / "run" / "evaluation")}
    assert [*curve] == [0.0, 1.0, 0.02]
    assert curve[1.0][HARMLESS] < 0 < curve[0.02][HARMLESS]
    bits = {share: figures["eval/use/bits_per_byte/mean"] for share, figures in curve.items()}
    assert bits[0.02] < bits[1.0]

    device = torch.device("cpu")
    before, trained = (load_backbone(config.model, device, config.seed) for _ in range(2))
    adapters.attach(trained, config.adapter, layer=2)
    restore_chosen(trained, tmp_path / "run" / "checkpoints")
    exported = load_backbone(ModelConfig(name="exported", path=str(tmp_path / "run" / "model")), device, 0)
    start, end = weights(before), weights(trained)
    for name, value in weights(exported).items():
        between = start[name] + 0.02 * (end[name] - start[name])
        torch.testing.assert_close(value, between, atol=1e-6, rtol=1e-5)

    run = load_run(tmp_path / "run")
    assert chosen_share(run) == 0.02
    assert (tmp_path / "run" / "plots" / "blends.png").is_file()
    assert "0.02 of the way is what was exported" in (tmp_path / "run" / "report.html").read_text()
    made = [d for d in run.environment.decisions if d.what == "export.blend"]
    assert [d.value for d in made] == ["0.02"]


def test_shares_need_a_measure_of_use() -> None:
    with pytest.raises(ConfigError, match=r"export.blends=\[0.5\]: nothing is chosen to measure"):
        small_config("export.blends=[0.5]")
    with pytest.raises(ConfigError, match="measures no use beside alignment"):
        small_config("export.blends=[0.5]", "benchmark@validation=use", "validation.tasks=[retrieval]")
    with pytest.raises(ConfigError, match=r"export.blends"):
        small_config(*MEASURED, "export.blends=[1.5]")
    small_config(*MEASURED, "export.blends=[0.5]")  # trainer.evaluate_every is for measuring during training
