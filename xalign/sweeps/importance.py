"""How much each key of a sweep mattered for a figure."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import count

from xalign.sweeps.folder import Job, Sweep
from xalign.sweeps.job import point_of

log = logging.getLogger(__name__)

FEWEST = 4
"""Points without which shares of a variance mean nothing."""


def importances(sweep: Sweep, jobs: Sequence[Job]) -> dict[str, dict[str, float]]:
    """Figure -> key -> share of the figure's variance, by fANOVA (Hutter et al. 2014) as Optuna has it.

    Of grids and searches alike: a forest of regression trees is fitted to the points (`jobs`, which have
    values), and the variance of its predictions shared out. Empty with too few points, where Optuna (extra
    `optuna`) is missing, or where nothing differs.
    """
    points = [point_of(sweep, job.overrides) for job in jobs]
    varied = [key for key in sweep.axes if len({point.get(key) for point in points}) > 1]
    if len(points) < FEWEST or not varied or find_spec("optuna") is None:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found: dict[str, dict[str, float]] = {}
    for place, figure in enumerate(sweep.figures):
        values = [(job.values or [])[place] for job in jobs]
        if len(set(values)) < 2:
            continue
        study = optuna.create_study()
        codes = {key: _codes([point[key] for point in points]) for key in varied}
        distributions: dict[str, optuna.distributions.BaseDistribution] = {
            key: optuna.distributions.FloatDistribution(min(own), max(own)) for key, own in codes.items()
        }
        for number, value in zip(count(), values):
            params = {key: own[number] for key, own in codes.items()}
            trial = optuna.trial.create_trial(params=params, distributions=distributions, value=value)
            study.add_trial(trial)
        shares = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
        )
        found[figure] = {key: round(float(share), 4) for key, share in shares.items()}
    return found


def _codes(texts: Sequence[str]) -> list[float]:
    """Values as their ranks: trees split alike whatever the scale, and words have a place."""
    order = {text: float(rank) for rank, text in enumerate(sorted(set(texts), key=sortable))}
    return [order[text] for text in texts]


def sortable(text: str) -> tuple[float, str]:
    """Numbers by size, then words by the alphabet."""
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text
