"""ShifCon: where the area is found, that a shift acts inside it alone, and what training brings."""

import pytest
import torch
from cipher import OnCipher
from tiny import tiny_backbone

from xalign.config.choices import Pooling
from xalign.data.collate import tokenize
from xalign.models.backbone import evaluating
from xalign.objectives.kernels.subspaces import subspace_distance
from xalign.objectives.shifcon import found_area

SHIFCON = ("loss=shifcon", "loss.instruction_weight=0", "loss.tau=0.1")


def test_the_area_is_where_languages_are_near() -> None:
    generator = torch.Generator().manual_seed(0)
    pivot = torch.randn(40, 11, 8, generator=generator)
    far = torch.tensor([3.0, 3, 3, 3, 0.1, 0.1, 0.1, 0.1, 3, 3, 0])
    other = pivot + far[:, None]
    # Layers 4 to 7 of 10 blocks; the last layer is nearer still, but is what the head reads.
    assert found_area({"fr": torch.stack([pivot, other])}, 0.3) == (4, 7)


@pytest.mark.parametrize("family", ["llama", "xglm"])
def test_a_shift_acts_above_its_layer_and_none_is_none(family: str) -> None:
    backbone = tiny_backbone(family)
    tokens = tokenize(backbone.tokenizer, ["a sentence", "and another one"], 32)
    shift = torch.randn(*tokens.input_ids.shape, 32, generator=torch.Generator().manual_seed(0))
    with evaluating(backbone):
        plain, shifted = (backbone.hidden_states(tokens, 3, own) for own in (None, (1, shift)))
        assert torch.equal(backbone.hidden_states(tokens, 3, (1, torch.zeros_like(shift))), plain)
        assert not torch.allclose(shifted, plain, atol=0.1)
        assert torch.equal(
            backbone.represent(tokens, 3, Pooling.mean), backbone.pooled(plain, tokens, Pooling.mean)
        )


def distance(model: OnCipher) -> float:
    layer = model.module.objectives["shifcon"].layer  # type: ignore[attr-defined]
    return subspace_distance(model.vectors("en", layer), model.vectors("fr", layer), 8)


def test_languages_come_nearer_inside_the_area_and_translations_find_each_other() -> None:
    model, shuffled = OnCipher(SHIFCON), OnCipher(SHIFCON, shuffled=True)
    layer = model.module.objectives["shifcon"].layer  # type: ignore[attr-defined]
    before = distance(model)
    assert model.retrieval(layer=layer) < 0.2
    model.train(100)
    shuffled.train(100)
    assert distance(model) < before / 2 < distance(shuffled)
    assert model.retrieval(layer=layer) > 0.9
    assert shuffled.retrieval(layer=layer) < 0.2
