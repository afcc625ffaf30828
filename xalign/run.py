"""`python -m xalign.run`: align a model. Composes and checks the config, then hands it to `experiment`.

Nothing heavy is imported before the config is known to be right.
"""

import hydra
from omegaconf import DictConfig

from xalign.command_line import check, config_folder
from xalign.config import Config, register
from xalign.errors import user_facing
from xalign.validation import resolve


@hydra.main(config_path=config_folder(), config_name="config", version_base="1.3")
@user_facing
def _run(composed: DictConfig) -> None:
    config = resolve(composed, Config)
    if config.plan:
        from xalign.planner import show_plan

        show_plan(config)
        return
    from xalign.experiment import run

    run(config)


@user_facing
def main() -> None:
    """Entry point of `python -m xalign.run` and of the `xalign` command."""
    check("config", Config)
    register()
    _run()


if __name__ == "__main__":
    main()
