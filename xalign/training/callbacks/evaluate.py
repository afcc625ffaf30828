"""Measuring while training: any benchmark every few steps, and the step that measured best.

What is measured is never what is measured at the end: of the run's own text the validation part, of a
multiple-choice set its validation split.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch

from xalign.base.errors import ConfigError, did_you_mean
from xalign.base.languages import canonical
from xalign.config.schema import Config
from xalign.data.parallel import Splits
from xalign.distributed import collectives
from xalign.evaluation.evaluate import evaluation_of, session_of
from xalign.evaluation.figures import harmless_figure, is_better, metric_of
from xalign.evaluation.results import Evaluation, Result
from xalign.evaluation.sets.own_text import load_own_text
from xalign.evaluation.task import Part, Setting
from xalign.evaluation.tasks import tasks_of
from xalign.evaluation.texts import Texts, setting_of
from xalign.evaluation.use import harmless_alignment
from xalign.models.backbone import computing_in
from xalign.training.callbacks.checkpoint import save
from xalign.training.checkpoints import Kind
from xalign.training.module import AlignedModel
from xalign.training.sharding import gathered
from xalign.workspace.folder import RunFolder

log = logging.getLogger(__name__)


def validation_setting(config: Config, splits: Splits, layer: int) -> Setting | None:
    """What a run measures during training; None where nothing is configured.

    Raises:
        DataError: the set's own text cannot be read.
    """
    benchmark, pivot = config.validation, config.languages.pivot
    if benchmark is None:
        return None
    texts = Texts(None)
    parallel = [task.parallel_text for task in tasks_of(benchmark).values()]
    if not all(parallel):
        benchmark = replace(benchmark, split=benchmark.split or "validation")
    if any(parallel):
        if benchmark.own_text:
            texts = Texts(*load_own_text(benchmark, pivot, [canonical(c) for c in benchmark.languages]))
        else:
            texts = Texts(splits.validation, splits.train)
    return setting_of(benchmark, texts, pivot=pivot, layer=layer, seed=config.seed)


def require_other_items(keys: Sequence[str], validation: Setting, measured: Setting) -> None:
    """Whatever `keys` of the config choose by validation is chosen on other items than the run is judged by.

    Raises:
        ConfigError: the two share most texts of a task and language.
    """
    judged = {(p.task, p.language): set(p.texts) for p in _parts(measured)}
    for part in _parts(validation):
        texts = set(part.texts)
        shared = judged.get((part.task, part.language), set()) & texts
        # Short answers occur in every split.
        if len(shared) > len(texts) / 2:
            raise ConfigError(
                [
                    f"{', '.join(keys)}: would choose by {part.task} in '{part.language}', of which "
                    f"{len(shared)} of {len(texts)} texts are also measured at the end; give "
                    "benchmark.split and validation.split different splits, or validation another set"
                ]
            )


class Evaluate(pl.Callback):
    """Adds `eval/<benchmark>/<metric>/<language>`, and `/mean` over languages, to the step's metrics.

    Metrics that have a value a layer are taken at the aligned layer. The mean is over all languages but
    the pivot. Where something is chosen by `HARMLESS`, the model is measured before the first step, too, and
    that figure is added. With `select` the trained parameters of the step with the best value are kept in
    `checkpoints/best-<step>`; the first of equals stays. Ranks share out the languages.

    Raises, when made:
        DataError: a task lacks its data.
    """

    def __init__(self, setting: Setting, config: Config, folder: RunFolder, dtype: torch.dtype) -> None:
        self.setting, self.folder, self.dtype = setting, folder.checkpoints, dtype
        self.every, self.last = config.trainer.evaluate_every, config.trainer.steps
        self.select = config.trainer.select
        self.parts = _parts(setting)
        self.best: float | None = None
        self.harmless = harmless_figure(setting.benchmark.name)
        self.compares = self.harmless in [figure for _, figure in config.chosen_by]
        self.file = folder.evaluation / "validation.json"
        self.before: Evaluation | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, AlignedModel)
        if not self.compares:
            return
        if pl_module.next_step == 0:
            self.before = self.evaluated(pl_module)
            if trainer.is_global_zero:
                self.before.write(self.file)
        else:
            self.before = Evaluation.read(self.file)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, AlignedModel)
        step = pl_module.next_step
        if self.every is None or (step % self.every and step != self.last):
            return
        started = time.perf_counter()
        values = self.measure(pl_module)
        if trainer.is_global_zero:
            means = {key: value for key, value in values.items() if key.endswith("/mean")}
            log.info("step %d: %s", step, ", ".join(f"{key} {value:.4g}" for key, value in means.items()))
        if self.select is not None:
            self._keep_best(trainer, values, self.select, step)
        pl_module.log_dict(values)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            # Lightning's own callbacks look at a validation when it ends.
            callback.on_validation_end(trainer, pl_module)
        pl_module.log("seconds_evaluating", round(time.perf_counter() - started, 2))

    def measure(self, module: AlignedModel) -> dict[str, float]:
        """The figures of the model as it is, the same on every rank."""
        now, setting = self.evaluated(module), self.setting
        values = figures(now.results, setting)
        if self.before is not None:
            values[self.harmless] = harmless_alignment(
                self.before, now, setting.benchmark.name, setting.aligned_layer, setting.seed
            )
        return values

    def evaluated(self, module: AlignedModel) -> Evaluation:
        """What the model scores as it is, the same on every rank."""
        languages = list(dict.fromkeys(part.language for part in self.parts))
        own = languages[collectives.rank() :: collectives.world_size()]
        session = session_of(module.backbone, self.setting.benchmark)
        with gathered(module.backbone, module.config.strategy), computing_in(module.backbone, self.dtype):
            measured = [
                (number, part.measure(session, lambda count: None))
                for number, part in enumerate(self.parts)
                if part.language in own
            ]
        # In the order of one rank: sums are rounded alike.
        merged = sorted(collectives.gather_lists(measured), key=lambda part: part[0])
        benchmark = self.setting.benchmark
        return evaluation_of("", (part for _, part in merged), tasks_of(benchmark), benchmark)

    def _keep_best(self, trainer: pl.Trainer, values: dict[str, float], select: str, step: int) -> None:
        if select not in values:
            raise ConfigError(
                [f"trainer.select={select}: not measured{did_you_mean(select, values)} ({', '.join(values)})"]
            )
        value = values[select]
        if is_better(value, self.best, metric_of(select, self.setting.benchmark)):
            self.best = value
            save(trainer, self.folder, Kind.best, step)
            if trainer.is_global_zero:
                log.info("step %d is the best so far: %s = %.4g", step, select, value)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]


def figures(results: Sequence[Result], setting: Setting) -> dict[str, float]:
    """`eval/<benchmark>/<metric>/<language or mean>` -> value; of metrics with layers, at the aligned one."""
    languages: dict[str, dict[str, float]] = {}
    for row in results:
        if row.layer in (None, setting.aligned_layer):
            languages.setdefault(f"eval/{row.benchmark}/{row.metric}", {})[row.language] = row.value
    values: dict[str, float] = {}
    for name, by_language in languages.items():
        counted = [v for code, v in by_language.items() if code != setting.pivot] or [*by_language.values()]
        values |= {f"{name}/{code}": value for code, value in by_language.items()}
        values[f"{name}/mean"] = sum(counted) / len(counted)
    return values


def _parts(setting: Setting) -> list[Part]:
    return [part for task in tasks_of(setting.benchmark).values() for part in task.parts(setting)]
