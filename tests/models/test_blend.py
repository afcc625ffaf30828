"""Part of the way from the model before training: every trained weight, and nothing else."""

import copy

import pytest
import torch
from tiny import tiny_backbone

from xalign.config.parts import AdapterConfig
from xalign.config.training import ExportConfig
from xalign.models import adapters
from xalign.models.adapters import ADAPTERS
from xalign.models.backbone import Backbone

LAYER = 1


def moved(method: str) -> tuple[adapters.Adapter, Backbone, Backbone]:
    """An adapter whose trained parameters have moved, the model before, and the model all of the way."""
    before, backbone = tiny_backbone("llama"), tiny_backbone("llama")
    config = ADAPTERS.load(method).Config(method=method)
    adapter = adapters.attach(backbone, config, layer=LAYER)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    whole = copy.deepcopy(adapter)
    return adapter, before, whole.backbone if method != "lora" else _merged(whole)


def _merged(adapter: adapters.Adapter) -> Backbone:
    adapter.backbone.model = adapter.peft.merge_and_unload()
    return adapter.backbone


@pytest.mark.parametrize("method", ["lora", "full", "full_frozen_embeddings"])
@pytest.mark.parametrize("export", [ExportConfig(blend=0.3), ExportConfig(blend=0.7, blend_above=0.0)])
def test_weights_are_on_the_line_between(method: str, export: ExportConfig) -> None:
    adapter, before, whole = moved(method)
    adapter.blend(*export.shares, lambda: before)
    found = dict((_merged(adapter) if method == "lora" else adapter.backbone).model.named_parameters())
    below = {n for n, p in before.model.named_parameters() if p in before.makers_of(LAYER)}
    trained = 0
    for (name, start), (_, end) in zip(
        before.model.named_parameters(), whole.model.named_parameters(), strict=True
    ):
        share = export.shares[name not in below]
        torch.testing.assert_close(found[name], start + share * (end - start), atol=1e-6, rtol=1e-5)
        trained += not torch.equal(start, end)
    assert trained > 4
    assert 0 < len(below) < len(found)


def test_above_is_as_below_where_nothing_is_said() -> None:
    assert ExportConfig(blend=0.4).shares == (0.4, 0.4)
    assert ExportConfig(blend=0.4, blend_above=0.0).shares == (0.4, 0.0)
    assert AdapterConfig(method="lora").layers == "all"
