"""`metrics.jsonl`: one line a step, with speed, memory and where the time went; and the same to the logger.

Model FLOP utilisation (Chowdhery et al. 2022, PaLM, appendix B) is

    mfu = operations that the step needs (xalign/performance/flops.py) / (seconds of the step x peak)

summed over ranks, the peak being what a large matrix product in the training's arithmetic reaches on the
machine at the start (`hardware.peak_flops`), not what its data sheet says.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger

from xalign.base.files import naming, write_atomically
from xalign.base.hardware import peak_flops, peak_memory
from xalign.base.phases import phases
from xalign.data.datamodule import AlignmentData
from xalign.data.step import StepBatch
from xalign.distributed import collectives
from xalign.performance.flops import costs_of, operations
from xalign.training.loggers import RunLogger
from xalign.training.module import AlignedModel

PHASES = ("data", "forward", "backward", "optimizer", "evaluation")

MEASURED = (
    "pairs_per_second",
    "tokens_per_second",
    "mfu",
    "peak_memory_gb",
    *(f"seconds/{name}" for name in PHASES),
)
"""Keys whose values a clock or the system gives. All others are functions of config and data: on the same
machine a run that was killed and resumed any number of times writes the same to the bit."""


class MetricsWriter(pl.Callback):
    """Appends a line a step on rank 0. On resuming, lines of steps that will be repeated are cut off.

    A line is on disk before a checkpoint of its step is (`Checkpoints`), so that no resumed run lacks one.
    """

    def __init__(self, path: Path, loggers: Sequence[Logger] = (), logged: RunLogger | None = None) -> None:
        self.path, self.loggers, self.logged = path, loggers, logged

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, AlignedModel)
        if trainer.is_global_zero:
            keep = pl_module.next_step
            lines = self.path.read_text().splitlines() if self.path.exists() else []
            kept = [line for line in lines if _step_of(line) <= keep]
            write_atomically(self.path, (line + "\n" for line in kept))
        backbone = pl_module.backbone
        self.costs = costs_of(backbone)
        self.peak = collectives.global_sum(peak_flops(backbone.device, backbone.compute_dtype))
        phases.take()
        self.started = time.perf_counter()

    def at_step_end(self, trainer: pl.Trainer, module: AlignedModel, batch: StepBatch) -> None:
        metrics = module.last_metrics
        if self.logged is not None:
            metrics |= self.logged.take()
        phases.add("evaluation", metrics.pop("seconds_evaluating", 0.0))
        data = getattr(trainer, "datamodule", None)
        phases.add("data", data.waited if isinstance(data, AlignmentData) else 0.0)
        spent = phases.take()
        now = time.perf_counter()
        # Measuring is no training.
        seconds = now - self.started - spent["evaluation"]
        self.started = now
        pairs = collectives.global_sum(batch.pairs)
        tokens = collectives.global_sum(batch.tokens)
        metrics |= {
            "pairs_per_second": round(pairs / seconds, 2),
            "tokens_per_second": round(tokens / seconds, 1),
            "mfu": round(self._operations(module, batch) / (seconds * self.peak), 4),
            "peak_memory_gb": round(peak_memory(module.backbone.device) / 1e9, 3),
            **{f"seconds/{name}": round(spent.get(name, 0.0), 4) for name in PHASES},
        }
        if trainer.is_global_zero:
            with naming(self.path), self.path.open("a") as file:
                file.write(json.dumps(metrics) + "\n")
            for logger in self.loggers:
                logger.log_metrics(metrics, step=batch.step + 1)

    def _operations(self, module: AlignedModel, batch: StepBatch) -> float:
        """What all ranks together had to compute."""
        works = {name: module.objectives[name].work(part) for name, part in batch.parts.items()}
        total = sum(operations(self.costs, work, batch.parts[name]).total for name, work in works.items())
        return collectives.global_sum(total)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")  # half a line, written when the process was killed
