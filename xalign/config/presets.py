"""Where the YAML files of the config groups are."""

from importlib.util import find_spec
from pathlib import Path

from xalign.base.registry import packages_with_parts


def config_folder() -> Path:
    """Ours: inside an installed package, or at the top of a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


def comment_of(preset: str) -> str:
    """What the text of a YAML file says of itself, in one line."""
    lines = [line[1:].strip() for line in preset.splitlines() if line[:2] == "# " and "@package" not in line]
    return " ".join(lines)


def config_folders() -> list[Path]:
    """Ours, then the folder `conf` of each package that adds parts; of these nothing is imported."""
    specs = [find_spec(package) for package in packages_with_parts()]
    places = [place for spec in specs if spec is not None for place in spec.submodule_search_locations or ()]
    return [config_folder(), *(path for place in places if (path := Path(place) / "conf").is_dir())]
