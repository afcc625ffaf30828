"""Where the YAML files of the config groups are."""

from pathlib import Path


def config_folder() -> Path:
    """Inside an installed package, or at the top of a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"
