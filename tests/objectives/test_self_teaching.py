"""Self-teaching: questions never asked are answered as those in the pivot."""

import pytest
import torch
from cipher import OnCipher, in_cipher
from tiny import tiny_backbone
from torch import Tensor
from torch.nn.functional import kl_div

from xalign.data.collate import pad
from xalign.data.few_shot import EQUALS
from xalign.data.instructions.base import InstructionSample
from xalign.data.instructions.tokens import instruction_rows
from xalign.models.backbone import Backbone, evaluating
from xalign.models.reference import FrozenCopy
from xalign.objectives.passes import Pass
from xalign.objectives.self_teaching import keep_common_end

SELF_TEACHING = ("loss=self_teaching", "loss.instruction_weight=0", "loss.contrastive_weight=0")


def test_labels_are_kept_from_the_end_as_far_as_both_have_them() -> None:
    own, other = [-100, 7, 1, 2, 3], [-100, -100, -100, 8, 1, 2, 3]
    keep_common_end(own, other)
    assert own == [-100, -100, 1, 2, 3]
    assert other == [-100, -100, -100, -100, 1, 2, 3]
    cut = [1, 2, 3]
    keep_common_end(cut, [2, 3])
    assert cut == [-100, 2, 3]


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_temperature_divides_the_logits_of_both(family: str) -> None:
    """Of Gemma 2, whose logits are bounded, too."""
    backbone = tiny_backbone(family)
    backbone.model.requires_grad_(True)
    run = Pass(backbone, FrozenCopy(backbone), 0, 0)
    before, now = (torch.randn(6, 32, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    logits = [backbone.head(side) / 2.5 for side in (before, now)]
    expected = kl_div(logits[1].log_softmax(-1), logits[0].softmax(-1), reduction="sum")
    assert float(run.kl(before, now, 2.5)) == pytest.approx(float(expected), rel=1e-4)
    assert float(run.kl(before, before, 2.5)) == pytest.approx(0, abs=1e-4)


def final_states(backbone: Backbone, model: OnCipher, source: str) -> Tensor:
    tokenizer = model.backbone.tokenizer
    samples = [
        InstructionSample(
            EQUALS.ask(in_cipher(text, source), source, "de"),
            EQUALS.answer(in_cipher(text, "de")),
            source,
            "de",
        )
        for text in model.held_out
    ]
    tokens = pad(tokenizer, *instruction_rows(tokenizer, samples, 128))
    with evaluating(backbone):
        return backbone.hidden_states(tokens, backbone.depth)[tokens.predicts]


def divergence(model: OnCipher) -> float:
    """KL of held-out answers to questions in a cipher from those of the model before training in plain."""
    untouched = tiny_backbone("llama")
    run = Pass(model.backbone, FrozenCopy(untouched), 0, 0)
    taught = final_states(untouched, model, "en")
    with torch.no_grad():
        return float(run.kl(taught, final_states(model.backbone, model, "fr"))) / len(taught)


def test_the_divergence_on_questions_never_asked_falls() -> None:
    taught = OnCipher(SELF_TEACHING, ("fr", "de"))
    before = divergence(taught)
    assert divergence(taught.train(60)) < before / 4
    # Labels instead of the teacher's answers.
    labels = ("loss=instruction", "instructions=parallel")
    assert divergence(OnCipher(labels, ("fr", "de")).train(60)) > before / 2
