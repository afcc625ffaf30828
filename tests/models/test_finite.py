"""What is not finite is found where it first arises: in a weight at loading, in a layer while measuring."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_backbone

from xalign.base.errors import ModelError
from xalign.config.choices import Pooling
from xalign.config.parts import TaskConfig
from xalign.config.schema import BenchmarkConfig, ModelConfig
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.engine.representations import represent
from xalign.evaluation.evaluate import evaluate
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks.translation_choice import TranslationChoice
from xalign.models.backbone import Backbone
from xalign.models.form import require_known_form
from xalign.models.loading import load_model_and_tokenizer


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_is_named_at_loading(value: float, tmp_path: Path) -> None:
    backbone = tiny_backbone("llama")
    blocks = backbone.model.model.layers
    with torch.no_grad():
        blocks[1].mlp.down_proj.weight[3, 4] = value
        blocks[2].input_layernorm.weight[:2] = value
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError) as caught:
        load_model_and_tokenizer(ModelConfig(name="m", path=str(tmp_path)))
    assert str(caught.value) == (
        f"model.path={tmp_path}: weights are not finite: 1 of 1,536 in model.layers.1.mlp.down_proj.weight, "
        "and 1 parameters more; the checkpoint is damaged, or of a training that diverged"
    )


def overflowing(letter: str) -> Backbone:
    """A model of finite weights that overflows after its second block, for texts with a letter alone."""
    backbone = tiny_backbone("llama", rms_norm_eps=1e-6)
    ((token,),) = backbone.tokenizer([letter], add_special_tokens=False)["input_ids"]
    block = backbone.model.model.layers[1]

    def overflow(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        return output * torch.where((seen[0] == token)[..., None], 1e38, 1.0) * 1e3

    seen: list[torch.Tensor] = [torch.zeros(1, 1, dtype=torch.long)]

    def remember(module: Any, args: Any, kwargs: Any) -> None:
        seen[0] = kwargs["input_ids"]

    backbone.model.get_decoder().register_forward_pre_hook(remember, with_kwargs=True)
    block.mlp.register_forward_hook(overflow)
    return backbone


def test_the_layer_and_the_text_of_a_representation() -> None:
    with pytest.raises(ModelError) as caught:
        represent(
            overflowing("q"), ["a page", "the queue", "open"], Pooling.mean, max_length=64, batch_tokens=99
        )
    assert str(caught.value) == (
        "the model computes numbers that are not finite: first in layer 2 of 4, for the text 'the queue'"
    )


@pytest.mark.parametrize("task", ["retrieval", "bits_per_byte", "translation_choice", "translation"])
def test_every_task_gives_one_message(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    texts = ["save the changes", "open a file", "the queue is new", "close it", "a user came"]
    rows = [Row("made", {"en": f"{text} now", "de": f"{text} jetzt"}) for text in texts]
    corpus = ParallelCorpus.from_rows(rows, "made")
    own: dict[str, TaskConfig] = {"translation_choice": TranslationChoice.Config(shots=0)}
    config = BenchmarkConfig(name="made", tasks=[task], options=own, shots=0)
    setting = Setting(config, corpus, corpus, "en", ["de"], aligned_layer=1, seed=0)
    with pytest.raises(ModelError, match=r"not finite: first in layer 2 of 4, for the text '.*queue"):
        evaluate(overflowing("q"), setting, model="m", dtype=torch.float32)


def test_a_model_that_overflows_everywhere_is_refused_at_loading() -> None:
    backbone = tiny_backbone("llama")
    with torch.no_grad():
        backbone.model.model.layers[2].mlp.down_proj.weight.fill_(3e38)
    with pytest.raises(ModelError, match=r"not finite: first in layer 3 of 4, for the text"):
        require_known_form(backbone, "m")
