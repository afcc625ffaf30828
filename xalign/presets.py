"""The YAML files of the config groups, read as they stand."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml


def config_folder() -> Path:
    """Where the YAML files are: inside an installed package, or at the top of a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "conf"


@cache
def presets(group: str) -> dict[str, dict[str, Any]]:
    """Name of the option -> its values, of a group of the config."""
    files = sorted((config_folder() / group).glob("*.yaml"))
    return {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) or {} for file in files}
