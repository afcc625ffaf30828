"""The file of a search: which trials there are, and when one is given up.

An append-only journal beside the sweep's summary, so that any number of processes, on any file system that
the jobs share, can read and write it, and a killed search loses nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage

from xalign.config.schema import SweepConfig

NAME = "sweep"


def open_study(path: Path, falls: Sequence[bool], sweep: SweepConfig) -> optuna.Study:
    """The study in a file; made where there is none. `falls`: of each figure, whether less is better."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))),
        study_name=NAME,
        load_if_exists=True,
        directions=["minimize" if less else "maximize" for less in falls],
        # Golovin et al. 2017 (Vizier): stop what is below the median of the others at the same step.
        pruner=optuna.pruners.MedianPruner(n_startup_trials=sweep.startup),
    )
