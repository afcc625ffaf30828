"""A run's stages, in process."""

import gc
from pathlib import Path

import pytest
from test_run import catalogues
from training_helpers import small_config

from xalign.config.schema import Config
from xalign.models.backbone import Backbone
from xalign.runs import experiment
from xalign.runs.launch import RankError
from xalign.workspace.folder import RunFolder


def models() -> list[Backbone]:
    gc.collect()
    return [own for own in gc.get_objects() if isinstance(own, Backbone)]


@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_while_ranks_train_their_parent_holds_no_model(
    adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would stand on the first GPU beside rank 0's own: neither the model, nor the frozen copy."""
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    held: list[str] = []
    others = models()  # of tests before

    def launch(config: Config, folder: RunFolder) -> None:
        own = [model for model in models() if not any(model is other for other in others)]
        held.extend({str(p.device) for model in own for p in model.parameters()})
        raise RankError("enough seen")

    monkeypatch.setattr(experiment, "launch", launch)
    config = small_config(
        "strategy=ddp", "trainer.devices=2", f"adapter={adapter}", "data=files",
        f"data.path={catalogues(tmp_path / 'corpus')}", "instructions=parallel",
        "benchmark.tasks=[bits_per_byte]", "benchmark.limit=8", f"run.dir={tmp_path / 'run'}",
    )  # fmt: skip
    with pytest.raises(RankError, match="enough seen"):
        experiment.run(config)
    assert set(held) <= {"meta"}
