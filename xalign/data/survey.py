"""What lies in a folder that holds more than one corpus: every file by itself, as far as it can be read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xalign.base.errors import ConfigError, XalignError
from xalign.config.text import DataConfig, SourceConfig
from xalign.data.readers.base import Source
from xalign.data.reading import reader_of


@dataclass(frozen=True)
class Survey:
    """The corpora of a folder, and its files that are none."""

    data: DataConfig
    """With a source for each corpus."""
    passed_over: dict[str, str]
    """File -> why it is none."""


def survey(data: DataConfig, pivot: str, targets: Sequence[str]) -> Survey:
    """Each file of a folder as a corpus of its own, where the folder as a whole is not one; else the same.

    Raises:
        ConfigError, DataError: the path is no folder and cannot be read, or none of its files can.
    """
    whole = Source(data, pivot, targets)
    if data.sources or data.path is None or not Path(data.path).is_dir():
        return Survey(data, {})
    try:
        reader_of(whole)[1].files()
        return Survey(data, {})
    except XalignError as error:
        problem = error
    sources: dict[str, SourceConfig] = {}
    passed_over: dict[str, str] = {}
    seen: set[Path] = set()
    folder = Path(data.path)
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        if path in seen:
            continue
        own = replace(data, path=str(path), options={}, columns=data.columns)
        try:
            layout, reader = reader_of(Source(own, pivot, targets))
            files = reader.files()
        except XalignError as error:
            said = "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)
            # Which formats there are is said once, in the docs.
            passed_over[str(path.relative_to(folder))] = said.removeprefix(f"'{path}': ").split(" (arrow:")[0]
            continue
        seen.update(files)
        name = str(path.relative_to(folder))
        sources[name] = SourceConfig(path=str(path), format=layout, columns=data.columns)
    if not sources:
        raise problem
    return Survey(replace(data, path=None, sources=sources), passed_over)
