"""Checks of one text against its language: broken encodings mended, other scripts and languages found."""

from functools import lru_cache
from typing import TYPE_CHECKING

import ftfy
import regex
from ftfy.badness import is_bad

from xalign.base.languages import script

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_SCRIPTS = {"Hans": ("Han",), "Hant": ("Han",), "Jpan": ("Han", "Hiragana", "Katakana"), "Kore": ("Hangul",)}
"""Writing systems that Unicode knows by their parts."""
SHORTEST = 20
"""Letters from which on a language is told with some certainty."""
CERTAIN = 0.95
"""Probability from which on a text is said to be in another language."""


def mended(text: str) -> str:
    """The text as it was before it was decoded wrongly: 'StraÃŸe' -> 'Straße' (ftfy)."""
    return ftfy.fix_encoding(text) if not text.isascii() and is_bad(text) else text


def in_its_script(text: str, language: str) -> bool:
    """Whether any letter of the text is of the script of its language, or it has no letters."""
    pattern = _letters_of(language)
    return pattern is None or pattern.search(text) is not None or not any(map(str.isalpha, text))


@lru_cache(maxsize=1024)
def _letters_of(language: str) -> "regex.Pattern[str] | None":
    parts = "".join(rf"\p{{Script={name}}}" for name in _SCRIPTS.get(script(language), (script(language),)))
    try:
        return regex.compile(f"[{parts}]")
    except regex.error:  # of a script that Unicode does not have
        return None


def other_language(text: str, language: str) -> str | None:
    """The language that a text is in where that is certainly another than its own; None: it may be its own.

    Told by py3langid; of a language that it does not know, nothing is told, nor of short texts.
    """
    own = language.split("-")[0]
    identifier = _identifier()
    if own not in identifier.labels or sum(map(str.isalpha, text)) < SHORTEST:
        return None
    found, probability = identifier.classify(text)
    # What differs least from it is not told from it: Croatian and Serbian, Danish and Norwegian.
    return found if found != own and probability >= CERTAIN and own not in _near(found) else None


_CLOSE = (
    frozenset({"bs", "hr", "sr"}),
    frozenset({"da", "nb", "nn", "no"}),
    frozenset({"id", "ms", "jv"}),
    frozenset({"cs", "sk"}),
    frozenset({"gl", "pt", "es"}),
    frozenset({"xh", "zu"}),
)


def _near(language: str) -> frozenset[str]:
    return frozenset().union(*(own for own in _CLOSE if language in own))


@lru_cache(maxsize=1)
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
