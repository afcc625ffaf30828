"""What a model's sentence vectors look like: one analysis a file, named in configs as its file is. Other
packages add theirs by the entry point group `xalign.analyses`."""

from collections.abc import Iterator, Mapping, Sequence

from xalign.base.registry import Registry
from xalign.config.parts import AnalysisConfig
from xalign.evaluation.analyses.base import Analysis

ANALYSES: Registry[type[Analysis]] = Registry(
    "xalign.evaluation.analyses", "ANALYSIS", "xalign.analyses", skip=("base", "curves")
)


def analyses_of(options: Mapping[str, AnalysisConfig]) -> dict[str, Analysis]:
    """The analyses that a config asks for, by name, with their options."""
    return {name: ANALYSES.load(name)(name, config) for name, config in options.items()}


def problems_of(
    analyses: Mapping[str, Analysis], *, depth: int | None = None, languages: Sequence[str] = ()
) -> Iterator[str]:
    """What analyses ask for in vain of a model of this depth and a text in these languages, each as
    `analyses.<name>.<option>=<value>: <what is wrong>`; as far as depth and languages are known."""
    for name, analysis in analyses.items():
        for option, what in analysis.problems(depth=depth, languages=languages):
            yield f"analyses.{name}.{option}={getattr(analysis.config, option)}: {what}"
