"""A sweep's figures during training: that they are measured at all, and whether a trial is worth going on."""

from pathlib import Path

import pytorch_lightning as pl

from xalign.base.errors import ConfigError, Pruned, did_you_mean
from xalign.config.schema import Config
from xalign.data.step import StepBatch
from xalign.distributed import collectives
from xalign.training.module import AlignedModel
from xalign.trials.figures import falls, wanted


class TrialPruning(pl.Callback):
    """After each measurement: every figure of `sweep` must be there; the trial of a search reports it.

    With one figure and `sweep.prune`, all ranks end with `Pruned` where the search gives the trial up; the
    reason is also left in the file `marker`, for the process that waits for ranks.

    Raises, in training:
        ConfigError: a figure is not measured.
        Pruned: the search gives the trial up.
    """

    def __init__(self, config: Config, marker: Path) -> None:
        self.settings, self.marker = config.sweep, marker
        self.figures, self.falls = wanted(config), falls(config)
        self.last = config.trainer.steps
        self.reporting = config.sweep.trial is not None and config.sweep.prune and not config.sweep.also

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.marker.unlink(missing_ok=True)

    def at_step_end(self, trainer: pl.Trainer, module: AlignedModel, batch: StepBatch) -> None:
        measured = {k: v for k, v in module.last_metrics.items() if k.startswith("eval/")}
        if not measured:
            return
        for figure in self.figures:
            if figure not in measured:
                allowed = ", ".join(measured)
                raise ConfigError(
                    [f"sweep: {figure} is not measured{did_you_mean(figure, measured)} ({allowed})"]
                )
        step = module.next_step
        if not self.reporting or step == self.last:
            return
        given_up = trainer.is_global_zero and self._given_up(measured[self.figures[0]], step)
        if collectives.global_sum(float(given_up)):
            why = f"given up at step {step}: {self.figures[0]} is worse than in most other trials"
            if trainer.is_global_zero:
                self.marker.write_text(why, encoding="utf-8")
            raise Pruned(why)

    def _given_up(self, value: float, step: int) -> bool:
        """Report a value to the search; whether it gives the trial up."""
        import optuna

        from xalign.trials.study import open_study

        assert self.settings.study is not None
        assert self.settings.trial is not None
        study = open_study(Path(self.settings.study), self.falls, self.settings)
        own = study.get_trials(deepcopy=False)[self.settings.trial]
        # A trial of another process: optuna's public ways make new ones alone.
        trial = optuna.trial.Trial(study, own._trial_id)
        if step not in own.intermediate_values:  # said before, where the run was resumed
            trial.report(value, step)
        return bool(trial.should_prune())
