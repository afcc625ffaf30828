"""`hydra/launcher=ray`, as Hydra finds it. Imported at every start of Hydra, so nothing heavy here.

The official hydra-ray-launcher 1.2.2 needs cloudpickle < 3, which joblib no longer takes, and boto3.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict


class RayLauncher(Launcher):
    """One Ray task a job.

    Args:
        cpus_per_job: cores that Ray sets aside for a job.
        gpus_per_job: GPUs that Ray sets aside for a job.
        init: arguments of `ray.init`.
    """

    def __init__(self, cpus_per_job: float, gpus_per_job: float, init: Mapping[str, Any]) -> None:
        self.cpus, self.gpus, self.init = cpus_per_job, gpus_per_job, dict(init)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.composed = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        import ray

        if not ray.is_initialized():
            ray.init(**self.init)
        job = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0)(_run)
        shared = (self.context, self.task, self.composed, Singleton.get_state())
        numbered = enumerate(job_overrides, initial_job_idx)
        return ray.get([job.remote(*shared, list(overrides), number) for number, overrides in numbered])


def _run(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    singletons: dict[Any, Any],
    overrides: list[str],
    number: int,
) -> JobReturn:
    """One job, in a worker of Ray's: Hydra's global state first, then its usual way."""
    setup_globals()
    Singleton.set_state(singletons)
    composed = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(composed):
        composed.hydra.job.id = f"{OmegaConf.select(composed, 'hydra.job.name')}_{number}"
        composed.hydra.job.num = number
    HydraConfig.instance().set_config(composed)
    return run_job(
        hydra_context=context,
        task_function=task,
        config=composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
