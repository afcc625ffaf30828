"""`python -m xalign.vocabulary`: more pieces of some languages in a tokenizer, rows for them in the model.
Composes, checks, hands over."""

import hydra
from omegaconf import DictConfig

from xalign.base.errors import user_facing
from xalign.cli.command_line import check
from xalign.cli.validation import resolve
from xalign.config.presets import config_folder
from xalign.config.schema import VocabularyConfig
from xalign.options.store import register


@hydra.main(config_path=str(config_folder()), config_name="vocabulary", version_base="1.3")
@user_facing
def _extend(composed: DictConfig) -> None:
    config = resolve(composed, VocabularyConfig)
    from xalign.runs.vocabulary import extend

    extend(config)


@user_facing
def main() -> None:
    """Entry point of `python -m xalign.vocabulary`."""
    check("xalign.vocabulary", "vocabulary", VocabularyConfig)
    register()
    _extend()


if __name__ == "__main__":
    main()
