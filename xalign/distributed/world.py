"""This process among others: those that torchrun or srun has started, and those that share its cores.

No torch here: this is asked before the command line is looked at.
"""

import os
from dataclasses import dataclass, replace

from xalign.base.errors import ConfigError
from xalign.config.choices import StrategyName
from xalign.config.schema import Config

JOBS_AT_ONCE = "XALIGN_JOBS_AT_ONCE"
"""Environment variable: how many jobs share this machine's cores (`performance.automatic.choose_threads`)."""
THREADS = "XALIGN_THREADS"
"""Environment variable: `threads_asked` of the process that has started this rank."""


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_asked() -> int | None:
    """Most threads of a process by the user's OMP_NUM_THREADS; None where nobody has set it, or a launcher
    of ranks, as torchrun does."""
    name = THREADS if "RANK" in os.environ else "OMP_NUM_THREADS"
    first = os.environ.get(name, "").split(",")[0].strip()  # of nested loops, the outer one
    return int(first) if first.isdecimal() and int(first) > 0 else None


@dataclass(frozen=True)
class World:
    """One of `ranks` processes, of which every machine runs `local_ranks`; both count from 0."""

    rank: int
    local_rank: int
    ranks: int
    local_ranks: int


def world_of_launcher() -> World | None:
    """This process's place among those that a launcher has started; None where it is the only one.

    Slurm's variables are put into torchrun's, which is what everything below reads.

    Raises:
        ConfigError: srun runs unlike numbers of ranks on its machines.
    """
    if "RANK" not in os.environ:
        _from_slurm()
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or "RANK" not in os.environ:
        return None
    ranks = int(os.environ["WORLD_SIZE"])
    return World(
        int(os.environ["RANK"]),
        int(os.environ.get("LOCAL_RANK", 0)),
        ranks,
        int(os.environ.get("LOCAL_WORLD_SIZE", ranks)),
    )


def placed(config: Config, world: World) -> Config:
    """The config of a run of such ranks: how many there are is the launcher's to say.

    Raises:
        ConfigError: it asks for a single process, or for another number.
    """
    trainer = config.trainer
    if config.strategy.name is StrategyName.single:
        raise ConfigError([f"strategy=single: {world.ranks} ranks were started; needs strategy=ddp or fsdp"])
    if trainer.devices not in (1, world.local_ranks):
        raise ConfigError(
            [f"trainer.devices={trainer.devices}: {world.local_ranks} ranks were started on each machine"]
        )
    nodes = world.ranks // world.local_ranks
    return replace(config, trainer=replace(trainer, devices=world.local_ranks, nodes=nodes))


def _from_slurm() -> None:
    variables = os.environ
    tasks = int(variables.get("SLURM_NTASKS", 1))
    # The batch script itself has most of the variables, too, but is no task of srun's.
    is_script = "SLURM_JOB_ID" in variables and "SLURM_STEP_ID" not in variables
    if tasks == 1 or is_script or "SLURM_PROCID" not in variables:
        return
    nodes = int(variables.get("SLURM_STEP_NUM_NODES") or variables.get("SLURM_NNODES") or 1)
    if tasks % nodes:
        raise ConfigError([f"srun: {tasks} tasks cannot be shared out evenly on {nodes} machines"])
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    hosts = variables.get("SLURM_STEP_NODELIST") or variables.get("SLURM_NODELIST") or "127.0.0.1"
    job = variables.get("SLURM_JOB_ID", "0")
    variables |= {
        "RANK": variables["SLURM_PROCID"],
        "WORLD_SIZE": str(tasks),
        "LOCAL_RANK": variables.get("SLURM_LOCALID", variables["SLURM_PROCID"]),
        "LOCAL_WORLD_SIZE": str(tasks // nodes),
        "GROUP_RANK": variables.get("SLURM_NODEID", "0"),
        "MASTER_ADDR": variables.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(hosts),
        # Any port would do on which all agree; jobs that share a machine have numbers close to each other.
        "MASTER_PORT": variables.get("MASTER_PORT") or str(15000 + int(job[-4:])),
        "TORCHELASTIC_RUN_ID": job,
    }
