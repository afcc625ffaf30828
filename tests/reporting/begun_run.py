"""The config of a run that has just begun."""

from pathlib import Path
from typing import Any

import yaml

from xalign.workspace.content import GROUPS


def write_config(path: Path, **groups: dict[str, Any]) -> None:
    """Write the config of a run that has just begun."""
    every: dict[str, dict[str, Any]] = {key: {} for key in GROUPS} | {
        "model": {"name": "tiny"},
        "loss": {"name": "afp"},
    }
    (path / "config.yaml").write_text(yaml.safe_dump(every | groups))
