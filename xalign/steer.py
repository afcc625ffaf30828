"""`python -m xalign.steer`: vectors of languages for a model, fitted on parallel text. Composes, checks,
hands over."""

import hydra
from omegaconf import DictConfig

from xalign.base.errors import user_facing
from xalign.cli.command_line import check
from xalign.cli.validation import resolve
from xalign.config.presets import config_folder
from xalign.config.schema import SteerConfig
from xalign.options.store import register


@hydra.main(config_path=str(config_folder()), config_name="steer", version_base="1.3")
@user_facing
def _steer(composed: DictConfig) -> None:
    config = resolve(composed, SteerConfig)
    from xalign.runs.steering import fit

    fit(config)


@user_facing
def main() -> None:
    """Entry point of `python -m xalign.steer`."""
    check("xalign.steer", "steer", SteerConfig)
    register()
    _steer()


if __name__ == "__main__":
    main()
