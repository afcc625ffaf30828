"""`python -m xalign.data COMMAND key=value ...`: look at parallel text, or write it anew.

inspect   what a file or folder holds, what cleaning leaves of it, what is odd about it; output=FILE.json
prepare   cleaned and joined, as a folder that training starts from at once; output=FOLDER
convert   the rows as they are, in another layout; output=FILE.jsonl|.tsv|.parquet|.tmx|.txt
split     cleaned, as training, validation and test text that share no sentence; output=FOLDER
"""

import sys

import hydra
from omegaconf import DictConfig

from xalign.base.errors import ConfigError, did_you_mean, user_facing
from xalign.cli.command_line import check
from xalign.cli.validation import resolve
from xalign.config.presets import config_folder
from xalign.config.schema import DataToolConfig, MineConfig
from xalign.options.store import register

COMMANDS = ("inspect", "prepare", "convert", "split", "mine")


def with_command(arguments: list[str]) -> tuple[str, list[str]]:
    """The command and the rest of a command line.

    Raises:
        ConfigError: there is no command, or none of that name.
    """
    words = [word for word in arguments if not word.startswith("-") and "=" not in word]
    listed = f"one of {', '.join(COMMANDS)} comes first, as in python -m xalign.data inspect data.path=FILE"
    if not words:
        raise ConfigError([f"no command is given: {listed}"])
    if words[0] not in COMMANDS:
        raise ConfigError([f"'{words[0]}' is no command: {listed}{did_you_mean(words[0], COMMANDS)}"])
    rest = list(arguments)
    rest.remove(words[0])
    return words[0], rest


@hydra.main(config_path=str(config_folder()), config_name="text", version_base="1.3")
@user_facing
def _run(composed: DictConfig) -> None:
    config = resolve(composed, DataToolConfig)
    from xalign.runs import text

    getattr(text, _command[0])(config)


@hydra.main(config_path=str(config_folder()), config_name="mine", version_base="1.3")
@user_facing
def _mine(composed: DictConfig) -> None:
    config = resolve(composed, MineConfig)
    from xalign.runs.mining import mine

    mine(config)


_command: list[str] = []


@user_facing
def main() -> None:
    """Entry point of `python -m xalign.data`."""
    if "--help" in sys.argv or "-h" in sys.argv:
        print(__doc__)
        sys.argv = [sys.argv[0], "--help"]
    else:
        command, sys.argv[1:] = with_command(sys.argv[1:])
        _command.append(command)
    if _command[-1:] == ["mine"]:
        check("xalign.data", "mine", MineConfig)
        register()
        _mine()
        return
    check("xalign.data", "text", DataToolConfig)
    register()
    _run()


if __name__ == "__main__":
    main()
