"""`hydra/sweeper=optuna`, as Hydra finds it. Imported at every start of Hydra, so nothing heavy here.

Hydra takes plugins from the `hydra_plugins` namespace only. The official hydra-optuna-sweeper 1.2 pins Optuna
below 3 (1.3 drags in 2.10), keeps no finished trial from being run again, and cannot prune.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Draws the points of a sweep by `xalign.sweeps.search`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.composed = config
        self.jobs = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: Sequence[str]) -> Any:
        from xalign.sweeps.search import search

        return search(self.composed, self.jobs, arguments)
