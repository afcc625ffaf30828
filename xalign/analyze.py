"""`python -m xalign.analyze RUN_OR_MODEL [RUN_OR_MODEL ...] [output=FOLDER] [key=value ...]`: look into the
sentence vectors of models. Composes, checks, hands over.

Of a run's folder the base model and the aligned one are looked into, on the text that the run held out.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser  # hydra.main's own: the same command line
from omegaconf import DictConfig

from xalign.base.errors import ConfigError, user_facing
from xalign.cli.command_line import check
from xalign.cli.validation import resolve
from xalign.config.presets import config_folder
from xalign.config.schema import AnalyzeConfig
from xalign.options.store import register
from xalign.workspace.content import is_run

OF_RUN = ("model", "languages", "data")
"""Groups that a run brings along."""


def with_models_as_key(arguments: Sequence[str]) -> list[str]:
    """The command line with folders and names of models as Hydra takes them, in one `models=[...]`.

    Raises:
        ConfigError: models are given in both ways, or a key that a run among them brings along.
    """
    words = get_args_parser().parse_args(list(arguments)).overrides
    models = [word for word in words if Path(word).is_dir() or ("=" not in word and _is_no_key(word))]
    if not models:
        return list(arguments)
    rest = [word for word in words if word not in models]
    beside = f"{models[0]} is given without a key; give all models in one way"
    problems = [f"{word}: {beside}" for word in rest if _key(word) == "models"]
    if runs := [model for model in models if is_run(Path(model))]:
        what = f"not read: {runs[0]} is a run, and has its own model, languages and text"
        problems += [f"{word}: {what}" for word in rest if _key(word).split(".")[0] in OF_RUN]
    if problems:
        raise ConfigError(problems)
    listed = ",".join('"' + model.replace("\\", "\\\\").replace('"', '\\"') + '"' for model in models)
    return [*(word for word in arguments if word not in models), f"models=[{listed}]"]


def _is_no_key(word: str) -> bool:
    # `~key` takes a key away; `~/folder` is what a shell leaves of a folder in quotes.
    return not word.startswith("~") or word.startswith("~/")


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


@hydra.main(config_path=str(config_folder()), config_name="analyze", version_base="1.3")
@user_facing
def _analyze(composed: DictConfig) -> None:
    config = resolve(composed, AnalyzeConfig)
    from xalign.runs.analysis import analyze

    analyze(config)


@user_facing
def main() -> None:
    """Entry point of `python -m xalign.analyze`."""
    sys.argv[1:] = with_models_as_key(sys.argv[1:])
    check("xalign.analyze", "analyze", AnalyzeConfig)
    register()
    _analyze()


if __name__ == "__main__":
    main()
