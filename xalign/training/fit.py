"""Training by Lightning: the trainer, its callbacks, resuming."""

import logging
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException

from xalign.base.decisions import Decisions
from xalign.base.errors import ConfigError
from xalign.config.choices import StrategyName
from xalign.config.schema import Config
from xalign.data.datamodule import AlignmentData
from xalign.distributed import collectives
from xalign.distributed.collectives import is_sharded
from xalign.evaluation.task import Setting
from xalign.models.backbone import Backbone
from xalign.models.dropout import enter_training
from xalign.performance.automatic import choose_precision
from xalign.training.callbacks.average import Average
from xalign.training.callbacks.checkpoint import Checkpoints, StopRequests
from xalign.training.callbacks.evaluate import Evaluate
from xalign.training.callbacks.guard import NonFiniteGuard
from xalign.training.callbacks.metrics import MetricsWriter
from xalign.training.callbacks.own import own_callbacks
from xalign.training.callbacks.progress import TrainingProgress
from xalign.training.callbacks.trial_pruning import TrialPruning
from xalign.training.checkpoints import newest, restore_chosen
from xalign.training.inputs import TrainingInputs
from xalign.training.loggers import RunLogger, finished, logger_of
from xalign.training.module import AlignedModel
from xalign.training.out_of_memory import less_next_time
from xalign.training.prepare import measured_as_held
from xalign.training.strategy import build_strategy
from xalign.workspace.folder import RunFolder

log = logging.getLogger(__name__)


def fit(config: Config, folder: RunFolder, inputs: TrainingInputs) -> None:
    """Train the adapter's parameters to the last step, from the newest checkpoint if there is one.

    `inputs.validation` is measured on the way; with `trainer.select` the parameters are, in the end, those of
    the step that measured best.

    Raises:
        DataError: a task of the validation lacks its data.
        RunError: stopped by non-finite losses, too little memory, a full disk, or damaged checkpoints only.
        Stopped: a signal asked for it; the step is saved.
    """
    backbone = inputs.backbone
    module = AlignedModel(backbone, inputs.adapter, inputs.objectives, config, inputs.reference)
    data = AlignmentData(
        config,
        backbone.tokenizer,
        inputs.prepared.pairs,
        inputs.objectives,
        instructions=inputs.prepared.instructions,
        own_texts=inputs.own_texts,
        arrangement=inputs.arrangement,
        cached_sentences=any(objective.needs.pairs for objective in inputs.objectives.values()),
    )
    start = collectives.of_first(lambda: newest(folder.checkpoints))
    stopping = StopRequests()
    logger = logger_of(config, folder, 0 if start is None else start.step)
    logged = RunLogger(logger)
    # At each step's end, when everybody has logged: the line, what it says of the step, the state. A step
    # that stops the run is saved.
    at_step_end: list[Any] = [
        MetricsWriter(folder.metrics, [logger] if logger else [], logged),
        TrainingProgress(),
        NonFiniteGuard(config.trainer.max_bad_steps),
        Checkpoints(folder, config.trainer, stopping.requests),
        *([TrialPruning(config, folder.pruned)] if config.sweep.metric else []),
    ]
    module.at_step_end = at_step_end
    callbacks = [
        stopping,
        # The last step is measured and saved as what comes of it.
        *([Average(config.trainer)] if config.trainer.average_from is not None else []),
        # What is measured, others look at.
        *_measuring(config, folder, backbone, inputs.prepared.validation),
        *own_callbacks(config),
        *at_step_end,
    ]
    try:
        trainer = pl.Trainer(
            default_root_dir=folder.path,
            max_epochs=1,
            # What was decided, which is what the model is on: Lightning would take an Apple GPU.
            accelerator="gpu" if backbone.device.type == "cuda" else "cpu",
            devices=config.trainer.devices,
            num_nodes=config.trainer.nodes,
            # A single process is that, whatever a batch job's variables would make Lightning expect.
            plugins=LightningEnvironment() if config.strategy.name is StrategyName.single else None,
            strategy=build_strategy(config.strategy),
            logger=logged,
            callbacks=callbacks,
            detect_anomaly=config.debug.detect_anomaly,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            use_distributed_sampler=False,  # a step's batch already knows its rank
        )
    except MisconfigurationException as error:
        if not config.callbacks:
            raise
        raise ConfigError([f"callbacks: {' '.join(str(error).split())}"]) from error
    enter_training(backbone, dropout=config.trainer.dropout)
    with finished(logger), less_next_time(folder, inputs.arrangement.micro_batch):
        trainer.fit(module, data, ckpt_path=None if start is None else start.state, weights_only=True)
    # Sharded parameters are of no further use here: the process that exports reads them from the files.
    if config.trainer.select is not None and not is_sharded(backbone):
        step = restore_chosen(backbone, folder.checkpoints)
        if trainer.is_global_zero:
            log.info("the parameters of step %d are kept: best by %s", step, config.trainer.select)


def _measuring(
    config: Config, folder: RunFolder, backbone: Backbone, validation: Setting | None
) -> list[Evaluate]:
    if validation is None:
        return []
    dtype = backbone.compute_dtype
    if measured_as_held(config) is None:
        # Said already, for the measurement before training.
        dtype = choose_precision(validation.benchmark.precision, backbone.device, Decisions(quiet=True))
    measuring = Evaluate(validation, config, folder, dtype)
    for part in measuring.parts:
        part.check(backbone)
    return [measuring]
