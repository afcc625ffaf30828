"""`metrics.jsonl`: one line a step, with speed; and the same to the logger the user chose."""

import json
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from xalign import collectives
from xalign.data.datamodule import StepBatch
from xalign.training.module import AlignedModel


class MetricsWriter(pl.Callback):
    """Appends a line a step on rank 0. On resuming, lines of steps that will be repeated are cut off."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, AlignedModel)
        if trainer.is_global_zero:
            keep = pl_module.next_step
            lines = self.path.read_text().splitlines() if self.path.exists() else []
            kept = [line for line in lines if _step_of(line) <= keep]
            self.path.write_text("".join(line + "\n" for line in kept))
        self.started = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: StepBatch,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, AlignedModel)
        now = time.perf_counter()
        # Measuring is no training.
        seconds = now - self.started - pl_module.last_metrics.get("seconds_evaluating", 0.0)
        self.started = now
        pairs = collectives.global_sum(batch.pairs)
        tokens = collectives.global_sum(batch.tokens)
        metrics = pl_module.last_metrics | {
            "pairs_per_second": round(pairs / seconds, 2),
            "tokens_per_second": round(tokens / seconds, 1),
        }
        pl_module.last_metrics = metrics
        if trainer.is_global_zero:
            with self.path.open("a") as file:
                file.write(json.dumps(metrics) + "\n")
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=batch.step + 1)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")  # half a line, written when the process was killed
