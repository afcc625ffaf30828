"""What training needs besides the config: made alike by a run's only process and by each of several ranks."""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xalign.base.decisions import Decisions
from xalign.config.choices import ChatTemplate, OptimizerKind, StrategyName
from xalign.config.schema import Config
from xalign.data.chat import Chat
from xalign.data.collate import PACKED, Arrangement
from xalign.models import adapters
from xalign.models.adapters.base import Adapter
from xalign.models.backbone import Backbone
from xalign.models.dropout import dropout_of, enter_training
from xalign.models.own_text import own_texts
from xalign.models.packing import packs_exactly
from xalign.models.reference import FrozenCopy, Reference
from xalign.objectives.base import Objective
from xalign.performance.memory import micro_batch_of
from xalign.training.beginnings import vectors_before
from xalign.training.prepare import Prepared
from xalign.workspace.environment import hand_back_freed_memory


@dataclass(frozen=True)
class TrainingInputs:
    """The model with its trainable parts, and everything that batches and measurements are made of."""

    backbone: Backbone
    adapter: Adapter
    reference: Reference | None
    """The model before training, where an objective runs it."""
    prepared: Prepared
    own_texts: Sequence[str]
    """Texts that the model wrote before training."""
    arrangement: Arrangement
    vectors: Mapping[str, Tensor] = field(default_factory=dict)
    """What objectives began with (`Objective.begin`)."""

    @property
    def objectives(self) -> Mapping[str, Objective]:
        """By name."""
        return self.prepared.objectives

    def release(self) -> None:
        """Give back the memory of the model, on whichever device, before other processes need it."""
        self.backbone.to("meta")
        for objective in self.objectives.values():
            if objective.own is not None:
                objective.own.to("meta")
        if isinstance(self.reference, FrozenCopy):
            self.reference.backbone.to("meta")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        hand_back_freed_memory()


def training_inputs(
    config: Config,
    backbone: Backbone,
    prepared: Prepared,
    dtype: torch.dtype,
    decisions: Decisions,
    *,
    micro_batch: int | None = None,
    packed: bool | None = None,
    texts: Sequence[str] | None = None,
    vectors: Mapping[str, Tensor] | None = None,
) -> TrainingInputs:
    """Make them; the backbone gets its adapters, computes in `dtype` and is in training from here on.

    What this run chose before, or its first process for all ranks, is given: `micro_batch`, as other sums in
    another order would round differently; whether texts are `packed`; the `texts` that the model has written;
    the sentence `vectors` that objectives begin with. A plan gives no texts, which take long and are of the
    length of the others.

    Raises:
        ConfigError: adapters cannot be made as configured.
    """
    backbone.compute_dtype = dtype
    lengths = [n.own_text for n in prepared.needs if n.own_text is not None]
    # Before there are new adapters: what it writes is what it was.
    if texts is None:
        texts = _own_texts(config, backbone, prepared, max(lengths)) if lengths else []
    if packed is None:
        packed = packs_exactly(backbone)
    if vectors is None:
        with adapters.as_begun(backbone, config.adapter, config.seed, layer=prepared.layer):
            vectors = vectors_before(backbone, prepared.pairs, prepared.needs, config.trainer.max_length)
    for objective in prepared.objectives.values():
        if objective.needs.begins_with:
            objective.begin(vectors)
    adapter = adapters.attach(backbone, config.adapter, config.seed, layer=prepared.layer)
    if config.strategy.name is StrategyName.fsdp and adapter.trains_model:
        decisions.add("gradients of embeddings", "dense", "strategy=fsdp sums shards of them over ranks")
    if config.optimizer.kind is OptimizerKind.adamw_bf16:
        backbone.keep_low()
    reference = adapter.reference() if any(n.reference for n in prepared.needs) else None
    if config.trainer.activation_checkpointing:
        backbone.checkpoint_activations()
    if config.trainer.compile:
        backbone.compile_blocks()
    if dropout := dropout_of(backbone.model.config):
        shares = ", ".join(f"{name} {value:g}" for name, value in dropout.items())
        decisions.add(
            "dropout", "on" if config.trainer.dropout else "off", f"trainer.dropout; of the model: {shares}"
        )
    enter_training(backbone, dropout=config.trainer.dropout)
    if micro_batch is None:
        micro_batch = micro_batch_of(config, backbone, prepared.objectives, reference, decisions)
    arrangement = Arrangement(packed, micro_batch, backbone.context or PACKED)
    return TrainingInputs(backbone, adapter, reference, prepared, texts, arrangement, vectors)


def _own_texts(config: Config, backbone: Backbone, prepared: Prepared, length: int) -> list[str]:
    """Texts by the model that training begins with."""
    instructions = config.instructions
    is_chat = instructions.template is ChatTemplate.chat
    chat = Chat(backbone.tokenizer, instructions.system) if is_chat else None
    with adapters.as_begun(backbone, config.adapter, config.seed, layer=prepared.layer):
        return own_texts(backbone, length, config.seed, prepared.beginnings, chat)
