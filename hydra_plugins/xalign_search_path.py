"""YAML files of other packages: of each that adds parts to xalign, the folder `conf/`, laid out like ours.

Imported at every start of Hydra, so nothing heavy here.
"""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from xalign.config.presets import config_folders


class ConfigsOfOtherPackages(SearchPathPlugin):
    """Lets `loss=matching` find `<package>/conf/loss/matching.yaml`, after our own files."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in config_folders()[1:]:
            search_path.append(folder.parent.name, f"file://{folder}")
