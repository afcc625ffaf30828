"""`python -m xalign.run`: align a model. Composes and checks the config, then hands it to `experiment`.

Nothing heavy is imported before the config is known to be right.
"""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from xalign.command_line import check, config_folder
from xalign.config import Config, register
from xalign.errors import user_facing
from xalign.validation import resolve


@hydra.main(config_path=config_folder(), config_name="config", version_base="1.3")
@user_facing
def _run(composed: DictConfig) -> float | tuple[float, ...] | None:
    if HydraConfig.get().mode is RunMode.MULTIRUN and not composed.plan:
        from xalign.sweeps.job import run_job

        return run_job(composed)
    config = resolve(composed, Config)
    if config.plan:
        from xalign.planner import show_plan

        show_plan(config)
        return None
    from xalign.experiment import run

    run(config)
    return None


@user_facing
def main() -> None:
    """Entry point of `python -m xalign.run` and of the `xalign` command."""
    check("config", Config)
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
