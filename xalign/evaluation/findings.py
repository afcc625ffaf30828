"""What analyses found in one model: the file `evaluation/before.analyses.json`, and its like."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator

from xalign.base.files import checked, read_json, write_atomically
from xalign.evaluation.analyses.base import Analysis, Findings


@dataclass(frozen=True, kw_only=True)
class Analysed:
    """One analysis, its options as plain values, and what it found."""

    version: Annotated[str, BeforeValidator(str)]
    options: dict[str, Any]
    findings: Findings


@dataclass(frozen=True, kw_only=True)
class AnalysedModel:
    """The analyses of one model by name."""

    model: str
    text: str
    """Name of the parallel text."""
    analyses: dict[str, Analysed]

    def write(self, path: Path) -> None:
        """Write a JSON file, whole or not at all."""
        # NaN is no JSON: what is undefined is null, and anything else a bug, to be seen here.
        text = json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)
        write_atomically(path, text + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            DataError: it is damaged, or something else.
        """
        return checked(cls, read_json(path), str(path))

    def answers(self, analyses: Mapping[str, Analysis]) -> dict[str, Analysed]:
        """What is here of these analyses, with these options, and as they measure today."""
        return {
            name: found
            for name, own in analyses.items()
            if (found := self.analyses.get(name)) is not None
            and (found.version, found.options) == (own.version, options_of(own))
        }


def options_of(analysis: Analysis) -> dict[str, Any]:
    """An analysis' options as JSON has them."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(analysis.config)))
    return plain


def file_of(folder: Path, name: str) -> Path:
    """`<folder>/<name>.analyses.json`: of a run `evaluation/before.analyses.json`."""
    return folder / f"{name}.analyses.json"


def output_folder(output: str | None, names: Sequence[str]) -> Path:
    """Where `python -m xalign.analyze` writes about models of these names: `output`, or a folder of their
    own."""
    own = names[0] if len(names) == 1 else f"{names[0]}-and-{len(names) - 1}-more"
    return Path(output) if output else Path("outputs", "analyses", own)


def picture_of(folder: Path, analysis: str) -> Path:
    """The picture of an analysis in such a folder."""
    return folder / f"{analysis}.png"


def written(folder: Path, analyses: Iterable[str]) -> list[Path]:
    """What an earlier call has left in a folder in the place of these analyses' files."""
    pictures = (picture_of(folder, name) for name in analyses)
    return [*sorted(folder.glob("*.analyses.json")), *(path for path in pictures if path.exists())]
