"""Parallel text that a benchmark brings itself: a folder, a folder of splits, or a set of the hub."""

import logging
from collections.abc import Collection
from pathlib import Path

from xalign.base.errors import DataError, did_you_mean
from xalign.base.languages import canonical, is_language
from xalign.config.schema import BenchmarkConfig
from xalign.config.text import DataConfig
from xalign.data.parallel import ParallelCorpus, load_test_set

log = logging.getLogger(__name__)

MEASURED = "devtest"
"""The split that is measured where none is named (FLORES's names)."""
SHOWN = "dev"
"""The one that demonstrations come from."""


def load_own_text(
    benchmark: BenchmarkConfig, pivot: str, languages: list[str], of_run: Collection[str] = ()
) -> tuple[ParallelCorpus, ParallelCorpus | None]:
    """The text to measure, and that of another split for demonstrations, if there is one.

    A set of the hub has splits; so has a folder with the folders `dev` and `devtest`, which is FLORES's own
    layout. A folder of files is measured as it is, in all its languages where none are named; of the hub's
    hundreds, those `of_run` are, as far as the set has them.

    Raises:
        ConfigError: a language has no pairs with the pivot.
        DataError, ArtifactError: the set cannot be read, or has no such split.
    """

    if benchmark.path is None and not languages:
        languages = _there(benchmark, of_run)

    def load(split: str | None) -> ParallelCorpus:
        if benchmark.path is None:
            data = DataConfig(
                name=benchmark.name,
                format="hub",
                hub=benchmark.hub,
                hub_revision=benchmark.hub_revisions.get(benchmark.hub or ""),
                hub_config="{language}",
                hub_split=split or MEASURED,
            )
        else:
            folder = Path(benchmark.path)
            data = DataConfig(name=benchmark.name, path=str(folder / split if split else folder))
        return load_test_set(data, pivot, languages, key="benchmark")

    split, shown = benchmark.split or MEASURED, benchmark.demonstration_split or SHOWN
    if benchmark.path is not None:
        there = _splits(Path(benchmark.path))
        if not there:
            return load(None), None
        if split not in there:
            raise DataError(
                f"benchmark.split={split}: '{benchmark.path}' has {', '.join(there)}"
                f"{did_you_mean(split, there)}"
            )
        if shown not in there:
            return load(split), None
    needed = bool(benchmark.shots) and shown != split
    return load(split), load(shown) if needed else None


def _there(benchmark: BenchmarkConfig, languages: Collection[str]) -> list[str]:
    from xalign.data.on_hub import configuration_names

    name = str(benchmark.hub)
    configs = configuration_names(name, "benchmark", benchmark.hub_revisions.get(name))
    there = {canonical(config) for config in configs if is_language(config)}
    if lacking := [code for code in languages if code not in there]:
        log.warning("%s has no %s: not measured there", name, ", ".join(lacking))
    return [code for code in languages if code in there]


def _splits(folder: Path) -> list[str]:
    """Folders in a folder that is not itself one of files."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name in (SHOWN, MEASURED))
