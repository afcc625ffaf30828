"""`python -m xalign.run`: align a model. Composes and checks the config, then hands it to `experiment`.

Nothing heavy is imported before the config is known to be right.
"""

import sys

import hydra
from hydra._internal.utils import get_args_parser  # hydra.main's own: the same command line
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from xalign.base.errors import ConfigError, user_facing
from xalign.cli.command_line import check
from xalign.cli.validation import resolve
from xalign.config.presets import config_folder
from xalign.config.schema import Config
from xalign.distributed.world import placed, world_of_launcher
from xalign.options.store import register


@hydra.main(config_path=str(config_folder()), config_name="config", version_base="1.3")
@user_facing
def _run(composed: DictConfig) -> float | tuple[float, ...] | None:
    if HydraConfig.get().mode is RunMode.MULTIRUN and not composed.plan:
        from xalign.sweeps.job import run_job

        return run_job(composed)
    config = resolve(composed, Config)
    if config.plan:
        from xalign.runs.planner import show_plan

        show_plan(config)
        return None
    from xalign.runs.experiment import run

    world = world_of_launcher()
    if world is None:
        run(config)
        return None
    from xalign.runs.workers import Workers

    config = placed(config, world)
    with Workers(world) as workers:
        run(config, workers)
    return None


@user_facing
def main() -> None:
    """Entry point of `python -m xalign.run` and of the `xalign` command."""
    world = world_of_launcher()
    if world is not None and world.rank > 0:
        from xalign.runs.workers import work

        work(world)
        return
    if world is not None and get_args_parser().parse_args().multirun:
        raise ConfigError(
            [f"--multirun: a sweep's runs start their own ranks; not {world.ranks} ranks a sweep"]
        )
    check("xalign.run", "config", Config)
    register()
    from xalign.sweeps.plan import sweep_of

    sweep = sweep_of(sys.argv[1:])
    if sweep is None:
        _run()
        return
    from xalign.sweeps.sweep import carry_out

    carry_out(sweep, _run)


if __name__ == "__main__":
    main()
