"""`python -m xalign.evaluate`: measure any model on any set. Composes, checks, hands over."""

import hydra
from omegaconf import DictConfig

from xalign.base.errors import user_facing
from xalign.cli.command_line import check
from xalign.cli.validation import resolve
from xalign.config.presets import config_folder
from xalign.config.schema import EvaluateConfig
from xalign.options.store import register


@hydra.main(config_path=str(config_folder()), config_name="evaluate", version_base="1.3")
@user_facing
def _evaluate(composed: DictConfig) -> None:
    config = resolve(composed, EvaluateConfig)
    from xalign.runs.measurement import evaluate

    evaluate(config)


@user_facing
def main() -> None:
    """Entry point of `python -m xalign.evaluate`."""
    check("xalign.evaluate", "evaluate", EvaluateConfig)
    register()
    _evaluate()


if __name__ == "__main__":
    main()
