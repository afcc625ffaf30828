"""CKA as a loss: what it does not see, and that it rises on sentences never seen."""

import pytest
import torch
from cipher import OnCipher

from xalign.evaluation.analyses.cka import linear_cka as analysed
from xalign.objectives.kernels.cka import linear_cka

CKA = ("loss=instruction", "loss.instruction_weight=0", "loss.objectives.cka.weight=1")
RNG = torch.Generator().manual_seed(0)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=RNG, dtype=torch.float64)


@pytest.mark.parametrize("debiased", [True, False])
def test_it_is_1_up_to_rotation_scale_and_offset(debiased: bool) -> None:
    x = drawn(12, 6)
    turned = 3 * x @ torch.linalg.qr(drawn(6, 6)).Q + drawn(6)
    assert float(linear_cka(x, x, debiased=debiased)) == pytest.approx(1)
    assert float(linear_cka(x, turned, debiased=debiased)) == pytest.approx(1)
    assert float(linear_cka(x, drawn(12, 6), debiased=debiased)) < 0.8


@pytest.mark.parametrize("debiased", [True, False])
def test_it_is_what_the_analysis_of_that_name_measures(debiased: bool) -> None:
    x, y = drawn(9, 5), drawn(9, 7)
    expected = analysed(x.numpy(), y.numpy(), debiased=debiased)
    assert float(linear_cka(x, y, debiased=debiased)) == pytest.approx(expected)


def test_sentences_that_are_all_alike_have_none_and_no_gradient_that_is_not_a_number() -> None:
    x = torch.ones(5, 3, dtype=torch.float64, requires_grad=True)
    linear_cka(x, drawn(5, 3), debiased=True).backward()
    assert torch.equal(x.grad, torch.zeros_like(x))  # type: ignore[arg-type]


def cka_of(model: OnCipher) -> float:
    found = analysed(model.vectors("en").numpy(), model.vectors("fr").numpy(), debiased=True)
    assert found is not None
    return found


def test_it_rises_on_sentences_never_seen_if_pairs_are_translations() -> None:
    assert cka_of(OnCipher(CKA)) < 0.5
    assert cka_of(OnCipher(CKA).train(100)) > 0.75
    assert cka_of(OnCipher(CKA, shuffled=True).train(100)) < 0.5
