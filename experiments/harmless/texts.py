"""Tatoeba in two halves: the first is read once, at the end; everything is chosen on the second."""

from pathlib import Path

from xalign.data.cleaning import normal_form
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.texts import Texts

CODES = {
    "fra": "fr", "deu": "de", "cmn": "zh", "tur": "tr", "tha": "th",
    "ara": "ar", "swh": "sw", "hin": "hi", "est": "et", "spa": "es",
}  # fmt: skip
"""File's code -> ours; Spanish is not trained on."""
MEASURED = 100
"""Pairs a language that are measured; the rest of the half serves as demonstrations."""


def halves(folder: Path) -> dict[str, Texts]:
    """`report`: the first half of each file, in which all earlier figures were measured; `choose`: of the
    second half what shares no sentence with any first half."""
    first: dict[str, list[tuple[str, str]]] = {}
    second: dict[str, list[tuple[str, str]]] = {}
    for code, own in CODES.items():
        sides = [
            (folder / f"tatoeba.{code}-eng.{side}").read_text(encoding="utf-8").splitlines()
            for side in ("eng", code)
        ]
        pairs = list(zip(*sides, strict=True))
        first[own], second[own] = pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]
    known = {normal_form(text) for pairs in first.values() for pair in pairs for text in pair}
    second = {
        own: [pair for pair in pairs if not known & {*map(normal_form, pair)}]
        for own, pairs in second.items()
    }
    return {"report": _texts(first), "choose": _texts(second)}


def _texts(pairs: dict[str, list[tuple[str, str]]]) -> Texts:
    parts: list[list[Row]] = [[], []]
    for language, own in pairs.items():
        for index, (x, y) in enumerate(own):
            parts[index >= MEASURED].append(Row("tatoeba", {"en": x, language: y}))
    return Texts(*(ParallelCorpus.from_rows(rows, "tatoeba") for rows in parts))
