"""Which parameters are trained: all, all but the embeddings, or low-rank adapters through peft."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from xalign.choices import AdapterMethod
from xalign.config import AdapterConfig
from xalign.errors import ConfigError
from xalign.models.backbone import Backbone
from xalign.models.low_rank import LowRankLinear
from xalign.objectives.gradients import use_sparse_embedding_gradients


class Adapter:
    """The trained part of a backbone, with what only low-rank adapters can do: be switched off."""

    def __init__(self, backbone: Backbone, config: AdapterConfig, seed: int = 0) -> None:
        """Mark trainable parameters; `lora` inserts adapters, initialised from the seed, in place.

        Raises:
            ConfigError: `adapter.target_modules` matches nothing in the model.
        """
        self.backbone = backbone
        self.peft: PeftModel | None = None
        model = backbone.model
        match config.method:
            case AdapterMethod.full:
                model.requires_grad_(True)
                use_sparse_embedding_gradients(model)
            case AdapterMethod.full_frozen_embeddings:
                model.requires_grad_(True)
                # The head too, where it is the same matrix.
                model.get_input_embeddings().requires_grad_(False)
                model.get_output_embeddings().requires_grad_(False)
            case AdapterMethod.lora:
                lora = LoraConfig(
                    task_type="CAUSAL_LM",
                    r=config.r,
                    lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides; any number will do
                    lora_dropout=config.dropout,
                    target_modules=config.target_modules,
                )
                # peft calls this experimental; it is how a layer of one's own is told to it.
                lora._register_custom_module({nn.Linear: LowRankLinear})
                torch.manual_seed(seed)
                try:
                    peft = get_peft_model(model, lora)
                except ValueError as error:
                    raise ConfigError([f"adapter.target_modules={config.target_modules}: {error}"]) from error
                assert isinstance(peft, PeftModel)
                self.peft = peft

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Inside, the model computes what it did before training (low-rank adapters only)."""
        assert self.peft is not None, "only low-rank adapters can be switched off"
        with self.peft.disable_adapter():
            yield
