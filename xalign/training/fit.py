"""Training by Lightning: the trainer, its callbacks, resuming."""

import logging

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from xalign.choices import LoggerName, StrategyName
from xalign.config import Config
from xalign.data.datamodule import AlignmentData
from xalign.errors import ConfigError
from xalign.evaluation.task import Setting
from xalign.models.backbone import Backbone
from xalign.training.callbacks.checkpoint import Checkpoints, newest, restore_chosen
from xalign.training.callbacks.evaluate import Evaluate
from xalign.training.callbacks.guard import NonFiniteGuard
from xalign.training.callbacks.judge import Judge
from xalign.training.callbacks.metrics import MetricsWriter
from xalign.training.callbacks.progress import TrainingProgress
from xalign.training.decisions import Decisions, choose_precision
from xalign.training.folder import RunFolder
from xalign.training.inputs import TrainingInputs
from xalign.training.module import AlignedModel
from xalign.training.strategy import AllReduceStrategy

log = logging.getLogger(__name__)


def fit(config: Config, folder: RunFolder, inputs: TrainingInputs) -> None:
    """Train the adapter's parameters to the last step, from the newest checkpoint if there is one.

    `inputs.validation` is measured on the way; with `trainer.select` the parameters are, in the end, those of
    the step that measured best.

    Raises:
        DataError: a task of the validation lacks its data.
        RunError: stopped by a signal, by non-finite losses, or by a damaged checkpoint.
    """
    backbone = inputs.backbone
    module = AlignedModel(backbone, inputs.adapter, config, inputs.layer)
    data = AlignmentData(
        config,
        backbone.tokenizer,
        inputs.splits.train,
        inputs.instructions,
        inputs.own_texts,
        arrangement=inputs.arrangement,
    )
    callbacks = [
        # Measurements first: they are part of the step's metrics. The guard before the checkpoints: a step
        # that stops the run is saved.
        *_measuring(config, folder, backbone, inputs.validation),
        MetricsWriter(folder.metrics),
        TrainingProgress(),
        NonFiniteGuard(config.trainer.max_bad_steps),
        Checkpoints(folder.checkpoints, config.trainer.checkpoint_every),
        *([Judge(config, folder.pruned)] if config.sweep.metric else []),
    ]
    trainer = pl.Trainer(
        default_root_dir=folder.path,
        max_epochs=1,
        devices=config.trainer.devices,
        strategy="auto" if config.strategy.name is StrategyName.single else AllReduceStrategy(),
        logger=_logger(config, folder),
        callbacks=callbacks,
        detect_anomaly=config.debug.detect_anomaly,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        use_distributed_sampler=False,  # a step's batch already knows its rank
    )
    backbone.train()
    trainer.fit(module, data, ckpt_path=newest(folder.checkpoints), weights_only=True)
    if config.trainer.select is not None:
        step = restore_chosen(backbone, folder.checkpoints)
        if trainer.is_global_zero:
            log.info("the parameters of step %d are kept: best by %s", step, config.trainer.select)


def _measuring(
    config: Config, folder: RunFolder, backbone: Backbone, validation: Setting | None
) -> list[Evaluate]:
    if validation is None:
        return []
    # Said already, for the measurement before training.
    dtype = choose_precision(validation.benchmark.precision, backbone.device, Decisions(quiet=True))
    return [Evaluate(validation, config, folder.checkpoints, dtype)]


def _logger(config: Config, folder: RunFolder) -> Logger | bool:
    match config.logger.name:
        case LoggerName.none:
            return False
        case LoggerName.csv:
            # A version of its own each time: Lightning empties the folder of one that goes on.
            return CSVLogger(folder.path, name="logs", flush_logs_every_n_steps=10)
        case LoggerName.tensorboard:
            try:
                return TensorBoardLogger(folder.path, name="logs", version="tensorboard")
            except ModuleNotFoundError as error:
                raise ConfigError(
                    ["logger=tensorboard: needs the extra: pip install 'xalign[tensorboard]'"]
                ) from error
        case LoggerName.wandb:
            return WandbLogger(
                project=config.logger.project,
                name=folder.path.name,
                save_dir=folder.path,
                offline=config.logger.offline,
            )
