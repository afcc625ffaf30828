"""What training needs besides the config: made alike by a run's only process and by each of several ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from xalign.choices import AdapterMethod, OptimizerKind, StrategyName
from xalign.config import Config
from xalign.data.collate import Arrangement
from xalign.data.instructions import InstructionSampler, load_instructions
from xalign.data.parallel import Splits
from xalign.evaluation.task import Setting
from xalign.memory import micro_batch_of
from xalign.models.adapters import Adapter
from xalign.models.backbone import Backbone
from xalign.models.own_text import own_texts
from xalign.models.packing import packs_exactly
from xalign.training.callbacks.evaluate import validation_setting
from xalign.training.decisions import Decisions


@dataclass(frozen=True)
class TrainingInputs:
    """The model with its trainable parts, and everything that batches and measurements are made of."""

    backbone: Backbone
    adapter: Adapter
    splits: Splits
    instructions: InstructionSampler
    own_texts: Sequence[str]
    """Texts that the model wrote before training, for retention."""
    layer: int
    arrangement: Arrangement
    validation: Setting | None


def training_inputs(
    config: Config,
    backbone: Backbone,
    splits: Splits,
    layer: int,
    dtype: torch.dtype,
    decisions: Decisions,
    *,
    micro_batch: int | None = None,
) -> TrainingInputs:
    """Make them; the backbone gets its adapters and computes in `dtype` from here on.

    `micro_batch` is what this run chose before: other sums in another order would round differently.

    Raises:
        ConfigError: instructions or adapters cannot be made as configured.
        DataError: a file cannot be read.
    """
    backbone.compute_dtype = dtype
    retained = config.loss.retention_weight > 0 and config.trainer.retention_own_fraction > 0
    # Before there are adapters: what it writes is what it was.
    texts = own_texts(backbone, config.trainer.retention_max_length, config.seed) if retained else []
    packed = packs_exactly(backbone)
    adapter = Adapter(backbone, config.adapter, config.seed)
    if config.strategy.name is StrategyName.fsdp and config.adapter.method is AdapterMethod.full:
        decisions.add("gradients of embeddings", "dense", "strategy=fsdp sums shards of them over ranks")
    if config.optimizer.kind is OptimizerKind.adamw_bf16:
        backbone.keep_low()
    if config.trainer.activation_checkpointing:
        backbone.checkpoint_activations()
    if config.trainer.compile:
        backbone.compile_blocks()
    if micro_batch is None:
        micro_batch = micro_batch_of(config, backbone, layer, decisions)
    return TrainingInputs(
        backbone,
        adapter,
        splits,
        load_instructions(config.instructions, config.languages, splits.train, config.seed),
        texts,
        layer,
        Arrangement(packed, micro_batch, backbone.context),
        validation_setting(config, splits, layer),
    )
