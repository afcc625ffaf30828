"""The model's mode while it is trained: by default without dropout, so that a step is a function of its texts
alone.

Dropout drawn by torch depends on what stands beside a text in a tensor: on micro-batches, ranks and packing.
"""

from torch import nn
from transformers import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from xalign.models.backbone import Backbone


def enter_training(backbone: Backbone, *, dropout: bool) -> None:
    """Put the backbone into the mode of training; `dropout`: with the model's own dropout.

    Dropout of adapters, which is asked for by itself (`adapter.dropout`), is on either way.
    """
    if dropout:
        backbone.train()
        return
    backbone.eval()
    for module in backbone.modules():
        if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing:
            # Blocks run again for the backward pass only where they are in training themselves.
            module.training = True
            _without_own_dropout(module)
        lora_dropout = getattr(module, "lora_dropout", None)
        if isinstance(lora_dropout, nn.ModuleDict) and any(
            isinstance(d, nn.Dropout) for d in lora_dropout.values()
        ):
            module.training = True
            lora_dropout.train()


def dropout_of(config: PreTrainedConfig) -> dict[str, float]:
    """The probabilities of dropout above 0 in a model's config, by name."""
    values = config.get_text_config().to_dict()
    named = {k: v for k, v in values.items() if ("drop" in k or k.endswith("pdrop")) and k != "layerdrop"}
    return {name: value for name, value in named.items() if isinstance(value, float) and value > 0}


def _without_own_dropout(module: nn.Module) -> None:
    """Some families' blocks drop out by a function, with a probability that is an attribute of the block."""
    for name, value in list(vars(module).items()):
        if "dropout" in name and isinstance(value, float):
            setattr(module, name, 0.0)
