"""Rows whose pivot sentences are nearly the same, found by MinHash (Broder 1997) through datasketch."""

from collections.abc import Sequence

from xalign.base.errors import ConfigError, needs_extra
from xalign.base.progress import progress_bar
from xalign.data.cleaning import normal_form
from xalign.data.rows import Row

LETTERS = 5
"""Of a piece of text: two texts are as similar as the share of their pieces that both have (Jaccard)."""
PERMUTATIONS = 64
"""The similarity is estimated to about 1 / sqrt(64)."""


def without_near_duplicates(
    rows: Sequence[Row], pivot: str, similarity: float
) -> tuple[list[Row], list[tuple[Row, Row]]]:
    """The rows without those whose pivot sentence is at least so similar to that of a row before, and each
    that was left out, with the one before.

    Raises:
        ConfigError: datasketch is not installed.
    """
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError:
        raise ConfigError([needs_extra(f"data.near_duplicates={similarity}", "dedup")]) from None
    index = MinHashLSH(threshold=similarity, num_perm=PERMUTATIONS)
    kept: list[Row] = []
    found: list[tuple[Row, Row]] = []
    signatures: list[MinHash] = []
    with progress_bar("near duplicates", len(rows)) as advance:
        for row in rows:
            signature = MinHash(num_perm=PERMUTATIONS)
            signature.update_batch([piece.encode() for piece in _pieces(row.texts[pivot])])
            near = [n for n in index.query(signature) if signatures[n].jaccard(signature) >= similarity]
            if near:
                found.append((row, kept[min(near)]))
            else:
                index.insert(len(kept), signature)
                kept.append(row)
                signatures.append(signature)
            advance(1)
    return kept, found


def _pieces(text: str) -> set[str]:
    normal = normal_form(text) or text
    return {normal[start : start + LETTERS] for start in range(max(1, len(normal) - LETTERS + 1))}
