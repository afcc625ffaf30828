"""`hydra/sweeper=optuna`: points drawn one batch after the other, each batch knowing those before it.

The study is in the sweep's folder. A trial that was begun and not finished, because the search was
interrupted or because it failed, is taken up again by the next call with its own parameters, and so its
own run folder and checkpoints; a finished one is never run again.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState

from xalign.cli.validation import resolve
from xalign.config.schema import Config
from xalign.sweeps.axes import as_text, distribution, sampler
from xalign.sweeps.folder import Status, SweepFolder
from xalign.trials.study import open_study


def search(composed: DictConfig, launcher: Launcher, arguments: Sequence[str]) -> list[FrozenTrial]:
    """Run trials until there are `sweep.trials`; the best of them.

    Args:
        composed: Hydra's config of the whole sweep.
        launcher: runs the jobs of a batch.
        arguments: overrides of the command line, the axes among them.
    """
    folder = SweepFolder(Path(composed.hydra.sweep.dir))
    asked = folder.read()
    overrides = [OverridesParser.create().parse_override(text) for text in arguments]
    axes = {o.get_key_element(): o for o in overrides if o.is_sweep_override()}
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    config = resolve(_one_point(composed), Config)
    settings = config.sweep
    study = open_study(folder.study, asked.falls, settings)
    space = {key: distribution(axis) for key, axis in axes.items()}
    open_trials = []
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        if trial.params.keys() == space.keys():
            open_trials.append(trial)
        else:  # killed while it was drawn
            study.tell(trial.number, state=TrialState.FAIL)
    _tell_start(study.get_trials(), settings.trials, len(open_trials))
    size = settings.batch or asked.at_once
    while True:
        batch, open_trials = open_trials[:size], open_trials[size:]
        while len(batch) < size and _counted(study.get_trials()) < settings.trials:
            study.sampler = sampler(settings, config.seed, len(study.get_trials()))
            number = study.ask(space).number
            batch.append(study.get_trials()[number])
        if not batch:
            return study.best_trials
        launcher.launch(
            [
                [
                    *fixed,
                    *(f"{key}={as_text(value)}" for key, value in trial.params.items()),
                    f"sweep.study={folder.study}",
                    f"sweep.trial={trial.number}",
                ]
                for trial in batch
            ],
            initial_job_idx=batch[0].number,
        )
        fates = {job.number: job for job in folder.recorded()}
        for trial in batch:
            job = fates[trial.number]
            if job.status is Status.complete:
                study.tell(trial.number, job.values)
            elif job.status is Status.pruned:
                study.tell(trial.number, state=TrialState.PRUNED)


def _one_point(composed: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])


def _counted(trials: Sequence[FrozenTrial]) -> int:
    return sum(trial.state is not TrialState.FAIL for trial in trials)


def _tell_start(trials: Sequence[FrozenTrial], wanted: int, unfinished: int) -> None:
    if trials:
        done = _counted(trials) - unfinished
        print(f"search: {done} of {wanted} trials are done, {unfinished} go on", file=sys.stderr)
