"""YAML files of other packages: of each that adds parts to xalign, the folder `conf/`, laid out like ours.

Imported at every start of Hydra, so nothing heavy here; of the other packages nothing is imported.
"""

from importlib.util import find_spec
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from xalign.base.registry import packages_with_parts


class ConfigsOfOtherPackages(SearchPathPlugin):
    """Lets `loss=matching` find `<package>/conf/loss/matching.yaml`, after our own files."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for package in packages_with_parts():
            spec = find_spec(package)
            for folder in (spec.submodule_search_locations if spec is not None else None) or ():
                if (Path(folder) / "conf").is_dir():
                    search_path.append(package, f"file://{folder}/conf")
