"""Dropout is off while a model is aligned, unless it is asked for: a step is then a function of its texts
alone."""

import pytest
import torch
from tiny import FAMILIES, tiny_backbone
from torch import Tensor, nn
from training_helpers import PACKED, batches_of, small_config, small_module

from xalign.data.collate import Arrangement, tokenize
from xalign.models import adapters
from xalign.models.adapters import ADAPTERS
from xalign.models.backbone import Backbone
from xalign.models.dropout import dropout_of, enter_training
from xalign.training.accumulate import accumulate

# Families that drop out by modules (gpt2, gpt_neo, bloom) or by functions (xglm, opt, llama).
DROPPING = {
    "xglm": {},
    "opt": {},
    "gpt2": {},
    "gpt_neo": {"resid_dropout": 0.1, "embed_dropout": 0.1, "attention_dropout": 0.1},
    "bloom": {"hidden_dropout": 0.1, "attention_dropout": 0.1},
    "llama": {"attention_dropout": 0.1},
}


def states(backbone: Backbone) -> Tensor:
    return backbone.hidden_states(
        tokenize(backbone.tokenizer, ["One text", "Another one"], 32), backbone.depth
    )


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", DROPPING)
def test_training_is_as_evaluation_where_dropout_is_off(family: str, checkpointing: bool) -> None:
    """Also where blocks are run again for the backward pass, which they only are in training."""
    backbone = tiny_backbone(family, **DROPPING[family])
    assert dropout_of(backbone.model.config)
    wanted = states(backbone.eval())
    if checkpointing:
        backbone.checkpoint_activations()
    enter_training(backbone, dropout=True)
    assert not torch.allclose(states(backbone), wanted)
    enter_training(backbone, dropout=False)
    ran: list[int] = []
    next(backbone.blocks[0].children()).register_forward_pre_hook(lambda *_: ran.append(1))
    found = states(backbone)
    torch.testing.assert_close(found, wanted)
    found.sum().backward()
    assert len(ran) == 1 + checkpointing


def test_dropout_of_adapters_is_asked_for_by_itself() -> None:
    backbone = tiny_backbone("xglm")
    adapters.attach(backbone, ADAPTERS.load("lora").Config(method="lora", r=4, dropout=0.5))
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if "lora_B" in name:
                parameter.fill_(1.0)
    enter_training(backbone, dropout=False)
    assert not torch.allclose(states(backbone), states(backbone))
    training = [m for m in backbone.modules() if isinstance(m, nn.Dropout) and m.training]
    assert len(training) == 6 * 4


def test_the_config_that_is_exported_keeps_its_dropout() -> None:
    backbone = tiny_backbone("xglm")
    before = backbone.model.config.to_dict()
    backbone.checkpoint_activations()
    enter_training(backbone, dropout=False)
    assert backbone.model.config.to_dict() == before


@pytest.mark.parametrize("adapter", ["lora", "full"])
@pytest.mark.parametrize("family", [*FAMILIES])
def test_micro_batches_change_nothing_in_training(family: str, adapter: str) -> None:
    config = small_config(f"adapter={adapter}", "loss.queue=0", "loss.tau=0.5")
    module = small_module(config, family)
    packed = family != "bloom"
    outcomes = []
    for micro_batch in (None, 100):
        batch = batches_of(config, module, arrangement=Arrangement(packed, micro_batch, widest=128))[0]
        found = {}
        for name, part in batch.parts.items():
            module.zero_grad()
            torch.manual_seed(len(outcomes))
            value, _ = accumulate(module.objectives[name], module.run(0), part)
            gradients = [p.grad.to_dense().flatten() for p in module.parameters() if p.grad is not None]
            found[name] = (value, torch.cat(gradients))
        outcomes.append(found)
    whole, parts = outcomes
    for name in ("contrastive", "instruction"):
        assert parts[name][0] == pytest.approx(whole[name][0], rel=1e-5)
        difference = float((parts[name][1] - whole[name][1]).norm() / whole[name][1].norm())
        assert difference < 1e-4, name
    assert parts["retention"][0] == pytest.approx(0, abs=1e-5)


def test_dropout_can_be_had() -> None:
    config = small_config("trainer.dropout=true", "loss.queue=0")
    module = small_module(config, "xglm")
    part = batches_of(config, module, arrangement=PACKED)[0].parts["contrastive"]
    values = set()
    for seed in range(2):
        torch.manual_seed(seed)
        values.add(accumulate(module.objectives["contrastive"], module.run(0), part)[0])
    assert len(values) == 2
