"""A run's stages, in process."""

import gc
import json
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


def test_contamination_counts_instructions_and_demonstrations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the instructions' answers are all sentences of the corpus, those that it holds out among them."""
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    sentences = {
        "en": [f"Please open the report number {i} of the year" for i in range(300)],
        "de": [f"Bitte öffnen Sie den Bericht Nummer {i} des Jahres" for i in range(300)],
    }
    rows = zip(*sentences.values(), strict=True)
    (tmp_path / "pairs.tsv").write_text("\n".join(["en\tde", *map("\t".join, rows)]) + "\n", encoding="utf-8")
    for code, texts in sentences.items():
        turns = [
            {"id": str(i), "instruction": f"Copy {i}!", "input": "", "output": text}
            for i, text in enumerate(texts)
        ]
        (tmp_path / f"{code}.json").write_text(json.dumps(turns), encoding="utf-8")

    def launch(config: Config, folder: RunFolder) -> None:
        raise RankError("enough seen")

    monkeypatch.setattr(experiment, "launch", launch)
    found = {}
    for name, instructions in {
        "own": ["instructions=bactrian", f"instructions.path={tmp_path}"],
        "none": [],
    }.items():
        config = small_config(
            "strategy=ddp", "trainer.devices=2", "data=files", f"data.path={tmp_path / 'pairs.tsv'}",
            "languages.targets=[de]", "trainer.languages_per_batch=1", *instructions,
            "benchmark.tasks=[translation_choice]", "benchmark.limit=8", f"run.dir={tmp_path / name}",
        )  # fmt: skip
        with pytest.raises(RankError, match="enough seen"):
            experiment.run(config)
        found[name] = json.loads((tmp_path / name / "environment.json").read_text())["contamination"]
    assert (
        found["own"].keys()
        == found["none"].keys()
        == {"translation_choice", "translation_choice, demonstrations"}
    )
    for task, counts in found["own"].items():
        assert counts["de"]["exact"] == counts["de"]["texts"] > 0, task
        assert found["none"][task]["de"]["exact"] == 0
