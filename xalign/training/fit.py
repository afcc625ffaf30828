"""Training by Lightning: the trainer, its callbacks, resuming."""

import warnings

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from xalign.config import Config, LoggerName, StrategyName
from xalign.data.datamodule import AlignmentData
from xalign.data.instructions import InstructionSampler
from xalign.data.parallel import ParallelCorpus
from xalign.errors import ConfigError
from xalign.models.adapters import Adapter
from xalign.models.backbone import Backbone
from xalign.training.callbacks.checkpoint import Checkpoints, newest
from xalign.training.callbacks.guard import NonFiniteGuard
from xalign.training.callbacks.metrics import MetricsWriter
from xalign.training.callbacks.progress import TrainingProgress
from xalign.training.folder import RunFolder
from xalign.training.module import AlignedModel
from xalign.training.strategy import AllReduceStrategy


def fit(
    config: Config,
    folder: RunFolder,
    backbone: Backbone,
    adapter: Adapter,
    corpus: ParallelCorpus,
    instructions: InstructionSampler,
    layer: int,
) -> None:
    """Train the adapter's parameters to the last step, from the newest checkpoint if there is one.

    Raises:
        RunError: stopped by a signal, by non-finite losses, or by a damaged checkpoint.
    """
    module = AlignedModel(backbone, adapter, config, layer)
    data = AlignmentData(config, backbone.tokenizer, corpus, instructions)
    trainer = pl.Trainer(
        default_root_dir=folder.path,
        max_epochs=1,
        devices=config.trainer.devices,
        strategy="auto" if config.strategy.name is StrategyName.single else AllReduceStrategy(),
        logger=_logger(config, folder),
        callbacks=[
            # The guard first: a step that stops the run is saved by the checkpoint callback.
            MetricsWriter(folder.metrics),
            TrainingProgress(),
            NonFiniteGuard(config.trainer.max_bad_steps),
            Checkpoints(folder.checkpoints, config.trainer.checkpoint_every),
        ],
        detect_anomaly=config.debug.detect_anomaly,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        use_distributed_sampler=False,  # a step's batch already knows its rank
    )
    backbone.train()
    with warnings.catch_warnings():
        # Lightning asks for worker processes; a step's batch takes milliseconds to make.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        trainer.fit(module, data, ckpt_path=newest(folder.checkpoints), weights_only=True)


def _logger(config: Config, folder: RunFolder) -> Logger | bool:
    match config.logger.name:
        case LoggerName.none:
            return False
        case LoggerName.csv:
            return CSVLogger(folder.path, name="logs", version="csv", flush_logs_every_n_steps=10)
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
