"""`--help`: what can be chosen. Hydra's own composes once for every group, which takes seconds."""

from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from xalign.config.presets import config_folder, config_folders


def print_help(config_name: str, module: str) -> None:
    """Print the config groups of an entry point with their options, and how keys are given."""
    console = Console(highlight=False)
    defaults = _defaults(config_name)
    what = (config_folder() / f"{config_name}.yaml").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    console.print(f"{what}\n\npython -m {module} [GROUP=OPTION ...] [GROUP.KEY=VALUE ...]\n", markup=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for group, options in _groups().items():
        if group in defaults:
            chosen = defaults[group]
            table.add_row(group, ", ".join(f"[bold]{o}[/]*" if o in chosen else o for o in options))
    console.print(table)
    console.print(
        "\n* the default. Every key with its value: --cfg job; what each means: docs/config.md.\n"
        "Several values a key, with -m: a sweep (docs/sweeps.md). What Hydra itself can do: --hydra-help",
        markup=False,
    )


def _groups() -> dict[str, list[str]]:
    """Group -> its options, sorted, those of other packages among them."""
    found: dict[str, set[str]] = {}
    for folder in config_folders():
        for path in folder.glob("*/*.yaml"):
            found.setdefault(path.parent.name, set()).add(path.stem)
    return {group: sorted(found[group]) for group in sorted(found)}


def _defaults(config_name: str) -> dict[str, list[str]]:
    """Group -> the options that an entry point's YAML chooses, perhaps none."""
    found: dict[str, list[str]] = {}
    content: Any = OmegaConf.to_container(OmegaConf.load(config_folder() / f"{config_name}.yaml"))
    for entry in content["defaults"]:
        if isinstance(entry, dict):
            for key, option in entry.items():
                options = option if isinstance(option, list) else [option]
                found.setdefault(key.partition("@")[0], []).extend(map(str, options))
    return found
