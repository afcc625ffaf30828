"""How the next point of a search is drawn: what each axis draws from, and by which sampler."""

import optuna
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from xalign.cli.command_line import variants
from xalign.config.schema import SweepConfig


def sampler(sweep: SweepConfig, seed: int, trial: int) -> optuna.samplers.TPESampler:
    """TPE (Bergstra et al. 2011), seeded by the trial's number: an interrupted search draws as one that
    was not. Trials still running count as bad ones, so that those of a batch differ."""
    return optuna.samplers.TPESampler(
        n_startup_trials=sweep.startup, seed=seed * 100_003 + trial, constant_liar=True
    )


def distribution(axis: Override) -> BaseDistribution:
    """What an axis in Hydra's syntax draws from.

    `interval(a, b)` a real number, `int(interval(a, b))` a whole one, both ends included, `tag(log, ...)` on
    a logarithmic scale; `range(a, b, step)` a whole number of that range; a list or `choice(...)` one of its
    values.
    """
    value = axis.value()
    if isinstance(value, IntervalSweep):
        log = "log" in value.tags
        if isinstance(value.start, int) and isinstance(value.end, int):
            return IntDistribution(value.start, value.end, log=log)
        return FloatDistribution(float(value.start or 0.0), float(value.end or 0.0), log=log)
    texts = [variant.partition("=")[2] for variant in variants(axis)]
    if isinstance(value, RangeSweep) and isinstance(value.step, int) and isinstance(value.start, int):
        whole = sorted(int(text) for text in texts)
        return IntDistribution(whole[0], whole[-1], step=abs(value.step))
    return CategoricalDistribution(texts)


def as_text(value: object) -> str:
    """A drawn value as it is typed on the command line; six digits of a real number."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
