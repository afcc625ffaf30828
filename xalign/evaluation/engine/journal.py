"""What a part has worked out so far, on disk batch by batch: an interrupted one goes on where it stopped."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entries:
    """Results of one list of requests by their numbers: those `found`, and those that are added."""

    found: dict[int, Any]
    _name: str
    _file: Path | None

    def add(self, results: Mapping[int, Any]) -> None:
        """Keep the results of a batch, which JSON can write; they survive the process's death at once."""
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                # The line break comes first: whoever dies while writing spoils no line but his own.
                file.write("\n" + json.dumps([self._name, list(results.items())]))


@dataclass(frozen=True)
class Journal:
    """The lists of requests that a part has begun; without a file nothing is kept."""

    file: Path | None = None

    def entries(self, *asked: object) -> Entries:
        """Of the requests `asked`, given with all that decides what stands together in a batch.

        Batches are kept whole, so what is left is run in the batches in which it would have been.
        """
        if self.file is None:
            return Entries({}, "", None)
        name = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        found: dict[int, Any] = {}
        for line in self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []:
            try:
                owner, results = json.loads(line)
            except ValueError:  # empty, or cut off
                continue
            if owner == name:
                found |= dict(results)
        return Entries(found, name, self.file)


NO_JOURNAL = Journal()
