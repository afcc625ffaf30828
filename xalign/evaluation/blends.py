"""What a run measured part of the way between the model before training and the trained one, and its file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from xalign.base.files import checked, read_json, write_atomically

FILE = "blends.json"
"""In the folder `evaluation` of a run."""


@dataclass(frozen=True)
class Blend:
    """A share of the way (0: before training), and what was measured there: figure -> value."""

    share: float
    figures: dict[str, float]


def write(points: Sequence[Blend], folder: Path) -> None:
    write_atomically(folder / FILE, json.dumps([asdict(point) for point in points], indent=1))


def read(folder: Path) -> list[Blend]:
    """The points, as far as there are any.

    Raises:
        DataError: the file is damaged.
    """
    file = folder / FILE
    return checked(list[Blend], read_json(file), str(file)) if file.is_file() else []
