"""Which blocks an adapter trains, by where they are to the aligned layer."""

import pytest
import torch
from tiny import tiny_backbone

from xalign.config.parts import AdaptedLayers
from xalign.data.collate import Tokens
from xalign.models import adapters
from xalign.models.adapters import ADAPTERS
from xalign.models.backbone import Backbone

LAYER = 1


def trained(method: str, layers: AdaptedLayers) -> tuple[Backbone, set[str]]:
    backbone = tiny_backbone("llama")
    config = ADAPTERS.load(method).Config(method=method, layers=layers)
    adapters.attach(backbone, config, layer=LAYER)
    return backbone, {n for n, p in backbone.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("method", ["lora", "full", "full_frozen_embeddings"])
def test_below_and_above_are_all_and_share_nothing(method: str) -> None:
    _, every = trained(method, AdaptedLayers.all)
    _, below = trained(method, AdaptedLayers.below)
    _, above = trained(method, AdaptedLayers.above)
    assert below | above == every
    assert not below & above
    assert all(".layers.0." in name or "embed_tokens" in name for name in below)
    assert any(".layers.0." in name for name in below)
    assert any(".layers.1." in name for name in above)


@pytest.mark.parametrize("layers", list(AdaptedLayers))
def test_what_reads_the_aligned_layer_stays_to_the_bit(layers: AdaptedLayers) -> None:
    """One step on a loss of the whole model: weights of the other blocks are what they were."""
    backbone, names = trained("full", layers)
    former = {n: p.detach().clone() for n, p in backbone.model.named_parameters()}
    ids = backbone.probe_ids(2, 6)
    backbone.model(ids, labels=ids).loss.backward()
    torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=1.0).step()
    changed = {n for n, p in backbone.model.named_parameters() if not torch.equal(p, former[n])}
    assert changed <= names
    assert changed
    layer = backbone.makers_of(LAYER)
    inside = {n for n, p in backbone.model.named_parameters() if p in layer}
    if layers is AdaptedLayers.below:
        assert changed <= inside
    if layers is AdaptedLayers.above:
        assert not changed & inside
        mask = torch.ones_like(ids)
        states = backbone.hidden_states(Tokens(ids, mask, mask), LAYER)
        torch.testing.assert_close(
            states, tiny_backbone("llama").hidden_states(Tokens(ids, mask, mask), LAYER)
        )
