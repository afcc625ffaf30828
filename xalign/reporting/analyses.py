"""What analyses found, for whoever looks at it: a picture and a sentence each, whichever there are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from xalign.base.drawing import applied
from xalign.base.errors import ConfigError
from xalign.evaluation.analyses import ANALYSES
from xalign.evaluation.analyses.base import Analysis, Findings
from xalign.evaluation.findings import AnalysedModel


@dataclass(frozen=True)
class Shown:
    """One analysis of one or several models, which `findings` has by their titles."""

    analysis: Analysis
    findings: Mapping[str, Findings]

    @property
    def name(self) -> str:
        """The analysis' name."""
        return self.analysis.name

    @property
    def label(self) -> str:
        """Its heading."""
        return self.analysis.label or self.name

    @property
    def sentences(self) -> dict[str, str]:
        """Title -> what was found, in a sentence."""
        return {title: self.analysis.summary(own) for title, own in self.findings.items()}

    def draw(self) -> Figure:
        """The picture, to be drawn and saved while our look is applied."""
        return self.analysis.draw(self.findings)

    def save(self, path: Path) -> None:
        """Write the picture as a PNG file."""
        with applied():
            self.draw().savefig(path, format="png")


def shown_of(models: Mapping[str, AnalysedModel]) -> list[Shown]:
    """Everything that can be shown of models, by their titles."""
    found = []
    for name in _names(models):
        analysis = _installed(name)
        if isinstance(analysis, Analysis):
            own = {
                title: model.analyses[name].findings
                for title, model in models.items()
                if name in model.analyses and model.analyses[name].version == analysis.version
            }
            found += [Shown(analysis, own)] if own else []
    return found


def gaps_in(models: Mapping[str, AnalysedModel]) -> Iterator[str]:
    """What was found and cannot be shown, and why, as sentences."""
    for name in _names(models):
        analysis = _installed(name)
        if not isinstance(analysis, Analysis):
            yield f"Analysis '{name}': {analysis}, so that its findings are not shown."
            continue
        for title, model in models.items():
            version = model.analyses[name].version if name in model.analyses else analysis.version
            if version != analysis.version:
                yield (
                    f"Analysis '{name}', {title}: found by its version {version}, which version "
                    f"{analysis.version} cannot show."
                )


def lines_of(models: Mapping[str, AnalysedModel]) -> list[str]:
    """All of it for a terminal, a line a finding."""
    lines = [
        f"{shown.label}, {title}: {sentence}"
        for shown in shown_of(models)
        for title, sentence in shown.sentences.items()
    ]
    return [*lines, *gaps_in(models)]


def _names(models: Mapping[str, AnalysedModel]) -> list[str]:
    return list(dict.fromkeys(name for model in models.values() for name in model.analyses))


def _installed(name: str) -> Analysis | str:
    """The analysis of this name, or why there is none."""
    if name not in ANALYSES:
        return "not installed here"
    try:
        return ANALYSES.load(name)(name)
    except ConfigError as error:  # another package's
        return error.problems[0]
