"""Measurements kept in the cache: the one before training is the same for every run on the same model."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from xalign.cache import cache_dir, cached_dir
from xalign.evaluation.evaluate import Measurement
from xalign.evaluation.representations import Picture
from xalign.evaluation.results import Evaluation

log = logging.getLogger(__name__)

SPACE = 50_000_000
"""Bytes that must be free on the disk: rows, records of items, points of the picture."""


def cached_evaluation(key_parts: Mapping[str, object], compute: Callable[[], Measurement]) -> Measurement:
    """`compute()`, or what it gave before for equal `key_parts` (anything that JSON can write).

    The parts must name all that the figures depend on: the model's files, the texts, the benchmark's
    settings, the tasks' versions, the seed.
    """
    key = hashlib.sha256(json.dumps(key_parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    folder = cache_dir() / "evaluations" / key
    fresh: list[Measurement] = []

    def build(scratch: Path) -> None:
        fresh.append(compute())
        fresh[0].evaluation.write(scratch / "evaluation.json")
        if fresh[0].picture is not None:
            fresh[0].picture.write(scratch / "picture.npz")
        (scratch / "key.json").write_text(
            json.dumps(key_parts, indent=1, ensure_ascii=False), encoding="utf-8"
        )

    cached_dir(folder, build, "the evaluation", SPACE)
    if fresh:
        return fresh[0]
    log.info("evaluation taken from the cache: %s", folder)
    picture = folder / "picture.npz"
    return Measurement(
        Evaluation.read(folder / "evaluation.json"), Picture.read(picture) if picture.exists() else None
    )
