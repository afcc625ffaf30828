"""DPO: the published loss, and that answers in the wrong language become the less likely ones."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch
from cipher import OnCipher, in_cipher, sentences
from torch import Tensor

from xalign.data.collate import pad
from xalign.data.few_shot import EQUALS
from xalign.data.instructions.base import InstructionSample
from xalign.data.instructions.tokens import instruction_rows
from xalign.models.backbone import evaluating
from xalign.objectives.kernels.preferences import dpo

DPO = ("loss=dpo", "loss.instruction_weight=0")


def test_without_a_change_it_is_ln_2_and_its_gradient_is_half_of_beta() -> None:
    chosen, rejected = (torch.tensor([[value, value]], dtype=torch.float64) for value in (-3.0, -5.0))
    losses, margins = dpo(chosen.requires_grad_(), rejected, 0.1)
    assert float(losses) == pytest.approx(math.log(2))
    assert float(margins) == 0
    losses.sum().backward()
    assert chosen.grad is not None
    assert chosen.grad.tolist() == [[pytest.approx(-0.05), 0.0]]


def test_it_is_what_trl_computes_from_the_same_numbers() -> None:
    trl = pytest.importorskip("trl")
    generator = torch.Generator().manual_seed(0)
    now, before = (-torch.rand(8, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    ones = torch.ones(8, 6, dtype=torch.long)
    outputs = SimpleNamespace(
        log_probs=now, entropy=now, mean_logits=now, is_top1=torch.ones(8, 5, dtype=torch.bool)
    )
    trainer = MagicMock(
        beta=0.3, ld_alpha=None, precompute_ref_logps=True, f_divergence_type="reverse_kl",
        loss_types=["sigmoid"], loss_weights=[1.0], use_weighting=False, aux_loss_enabled=False,
        _total_train_tokens=0, _tp_size=1,
    )  # fmt: skip
    trainer.accelerator.gather = trainer.accelerator.gather_for_metrics = lambda values: values
    chosen, rejected = before.sum(1).chunk(2)
    inputs = {
        "input_ids": ones, "attention_mask": ones, "completion_mask": ones,
        "ref_chosen_logps": chosen, "ref_rejected_logps": rejected,
    }  # fmt: skip
    theirs = trl.DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, False)
    ours, _ = dpo(*torch.stack([now.sum(1), before.sum(1)], 1).chunk(2), 0.3)
    assert float(ours.mean()) == pytest.approx(float(theirs), rel=1e-12)


def likelihoods(model: OnCipher, samples: list[InstructionSample]) -> Tensor:
    tokenizer = model.backbone.tokenizer
    with evaluating(model.backbone):
        return model.module.run(0).log_likelihoods(pad(tokenizer, *instruction_rows(tokenizer, samples, 128)))


def right_language(model: OnCipher) -> float:
    """Share of held-out questions, both ways, whose translation is likelier than the question repeated."""
    sides = []
    for copied in (False, True):
        samples = []
        for text in model.held_out:
            for source, target in (("en", "fr"), ("fr", "en")):
                asked = in_cipher(text, source)
                answer = asked if copied else in_cipher(text, target)
                prompt = EQUALS.ask(asked, source, target)
                samples.append(InstructionSample(prompt, EQUALS.answer(answer), source, target))
        sides.append(likelihoods(model, samples))
    return float((sides[0] > sides[1]).float().mean())


def test_answers_in_the_language_that_is_asked_for_become_the_likelier_ones() -> None:
    assert right_language(OnCipher(DPO)) < 0.7
    assert right_language(OnCipher(DPO).train(40)) > 0.95
    # Another sentence, in the right language, says little of languages.
    nothing = OnCipher((*DPO, "loss.objectives.dpo.wrong_language=0")).train(40)
    assert right_language(nothing) < 0.9


def test_preferences_of_a_file_are_followed(tmp_path: Path) -> None:
    """Of other sentences than those that are asked: which of both answers is chosen decides."""
    for chosen, low, high in (("fr", 0.95, 1.01), ("en", -0.01, 0.1)):
        rejected = "en" if chosen == "fr" else "fr"
        records = [
            {
                "prompt": EQUALS.ask(in_cipher(text, source), source, target),
                "chosen": in_cipher(text, target if chosen == "fr" else source),
                "rejected": in_cipher(text, target if rejected == "fr" else source),
            }
            for text in sentences(200, seed=7)
            for source, target in (("en", "fr"), ("fr", "en"))
        ]
        path = tmp_path / f"{chosen}.jsonl"
        path.write_text("".join(json.dumps(own) + "\n" for own in records))
        model = OnCipher((*DPO, f"loss.objectives.dpo.preferences={path}")).train(40)
        assert low < right_language(model) < high
