"""Cleaning of parallel text: normalisation, the checks that drop pairs, merging into many-way rows.

Counts are in pairs (pivot, target). Dropping one target leaves the other targets of the row alone.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from xalign.base.languages import has_spaces
from xalign.config.text import DataConfig
from xalign.data.quality import in_its_script, mended, other_language
from xalign.data.rows import UNREADABLE, Row

EXAMPLES = 5
"""Dropped pairs that are kept to be looked at, of each reason."""


@dataclass
class CleaningReport:
    """How many pairs were kept and how many dropped, by reason."""

    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    by_language: dict[str, dict[str, int]] = field(default_factory=dict)
    """Language of the target -> reason -> how many, where the language is known."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> some of what was dropped for it, to look at."""

    def drop(self, reason: str, count: int = 1, language: str | None = None, example: str = "") -> None:
        """Count dropped pairs; a count of nothing leaves no trace. `example`: what to look at."""
        if not count:
            return
        self.dropped[reason] = self.dropped.get(reason, 0) + count
        if language is not None:
            own = self.by_language.setdefault(language, {})
            own[reason] = own.get(reason, 0) + count
        if example and len(self.examples.setdefault(reason, [])) < EXAMPLES:
            self.examples[reason].append(example)

    def summary(self) -> str:
        """One line: '6,012 pairs kept, 310 dropped (duplicate 200, too few words 110)'."""
        reasons = sorted(self.dropped.items(), key=lambda item: (-item[1], item[0]))
        detail = ", ".join(f"{reason} {count:,}" for reason, count in reasons)
        return f"{self.kept:,} pairs kept, {sum(self.dropped.values()):,} dropped" + (
            f" ({detail})" if detail else ""
        )


class _LettersAndDigits(dict[int, int | None]):
    """Translation table that deletes all but letters, marks and digits; fills itself as it is used."""

    def __missing__(self, codepoint: int) -> int | None:
        # Marks stay: Indic vowel signs are marks, and words differ by them alone.
        keep = codepoint if unicodedata.category(chr(codepoint))[0] in "LMN" else None
        self[codepoint] = keep
        return keep


_LETTERS_AND_DIGITS = _LettersAndDigits()


def normal_form(text: str) -> str:
    """What two texts must share to count as the same sentence: letters, marks and digits, case folded."""
    return text.casefold().translate(_LETTERS_AND_DIGITS)


def plain(text: str) -> str:
    """NFC, with every run of whitespace made one space: all that is done to text that is not markup."""
    return " ".join(unicodedata.normalize("NFC", text).split())


# Applied in this order; the first patterns still need the characters that later ones remove.
_MARKUP: list[tuple[re.Pattern[str], str]] = [
    (re.compile(r"\{%.*?%\}|\{\{.*?\}\}"), " "),  # Django and Jinja
    (
        re.compile(
            r"%\(\w+\)[#0\-+]*\d*(?:\.\d+)?[a-zA-Z]|%(?:\d+\$)?[#0\-+]*\d*(?:\.\d+)?[sdrifgxc](?![A-Za-z])"
        ),
        " ",
    ),
    (re.compile(r"%%"), "%"),
    (re.compile(r"</?[A-Za-z][^<>]*>"), " "),  # HTML and JSX tags
    (re.compile(r":[\w+:.-]+:(?=`)"), ""),  # rst roles
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`_{0,2}"), r"\1"),  # rst links
    (re.compile(r"!?\[([^\]]+)\]\([^)]*\)"), r"\1"),  # markdown links
    (re.compile(r"[`*|]+_{0,2}"), ""),  # emphasis, code, substitutions
    (re.compile(r"^\s*(?:#{1,6}\s+|[-+]\s+|\.\.\s+|&?>\s+)"), ""),  # headings, list items, quotes
]
_BRACES = re.compile(r"\$?\{[^{}]*\}")
_MNEMONICS: list[tuple[re.Pattern[str], str]] = [
    (re.compile(r"\s*\((?:&|_)\w\)"), ""),  # '文件(&F)'
    (re.compile(r"(?<![\w&])[&_](?=[^\W_])|(?<=[A-Za-z])&(?=[a-z])"), ""),  # '&File', '_File', 'E&xit'
    (re.compile(r"(?<=[^\W_])_(?!\w)"), ""),  # end of '_emphasis_'
]
_STRAY_BACKSLASH = re.compile(r"\\(?=[\"'\s]|$)")  # quotes escaped once too often
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
# What is left of '(%s)', '"{name}"' and 'by %s, %s.' once the placeholder is gone.
_EMPTY_QUOTES = re.compile(
    r"""[(（]\s*[)）]|<\s*>|\[\s*\]|"\s*"|[“”„]\s*[“”"]|«\s*»|‘\s*’|「\s*」|《\s*》|'\s+'|''"""
)
_LOOSE_PUNCTUATION = re.compile(r"\s+([,;)\]。，、؛،]|\.(?!\w))")  # '.rst' keeps its space
_REPEATED_PUNCTUATION = re.compile(r"\s*[,:;](?:\s*[,;])*\s*([,.;])(?![\w.])")
_EDGES = re.compile(r"^[\s,;:.…/|=>)\-–—।。，、：؛،]+(?=[^\d\s])|[\s,;:…/|=<(（\-–—，、：؛،]+$")


def strip_markup(text: str) -> str:
    """A user-interface string without placeholders, tags, entities, mnemonics, rst and markdown marks."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    while (without := _BRACES.sub(" ", text)) != text:  # inner braces first: '{n, plural, other {# pages}}'
        text = without
    text = html.unescape(text)
    for pattern, replacement in _MNEMONICS:
        text = pattern.sub(replacement, text)
    text = plain(_INVISIBLE.sub("", _STRAY_BACKSLASH.sub("", text)))
    text = plain(_EMPTY_QUOTES.sub(" ", text))
    text = _REPEATED_PUNCTUATION.sub(r"\1", _LOOSE_PUNCTUATION.sub(r"\1", text))
    return _EDGES.sub("", text)


def count_words(text: str, language: str) -> int:
    """Words between spaces; where a script has none, two letters are a word (about right for Chinese)."""
    if has_spaces(language):
        return len(text.split())
    return -(-sum(map(str.isalpha, text)) // 2)


def clean(
    rows: Iterable[Row],
    data: DataConfig,
    pivot: str,
    languages: Sequence[str] | None,
    markup: bool,
    report: CleaningReport,
) -> Iterator[Row]:
    """Normalised rows with the pivot and at least one good target.

    `languages`: targets to keep (None: all); `markup`: texts are user-interface strings.
    Dropped pairs are counted in `report`; kept ones are counted by `merge_by_pivot`, after duplicates.
    """
    strip = strip_markup if markup else plain
    normalise = (lambda text: strip(mended(text))) if data.mend_encoding else strip
    for row in rows:
        targets = {
            code: text
            for code, text in row.texts.items()
            if code != pivot and (languages is None or code in languages)
        }
        if row.fault is not None:
            unreadable = row.fault == UNREADABLE
            shown = row.message if unreadable else _shown(row.texts)
            report.drop(row.fault, 1 if unreadable else len(targets), example=shown)
            continue
        pivot_text = normalise(row.texts.get(pivot, ""))
        reason = _pivot_fault(pivot_text, pivot, data)
        if reason:
            report.drop(reason, len(targets), example=_shown(row.texts))
            continue
        good = {pivot: pivot_text}
        for code, text in targets.items():
            text = normalise(text)
            reason = _target_fault(text, code, pivot_text, data)
            if reason:
                report.drop(reason, 1, code, f"{pivot_text} ||| {text}")
            else:
                good[code] = text
        if len(good) > 1:
            yield replace(row, texts=good)


def _shown(texts: Mapping[str, str]) -> str:
    return " ||| ".join(texts.values())


def _pivot_fault(text: str, language: str, data: DataConfig) -> str | None:
    if not text:
        return "empty side"
    if not any(map(str.isalpha, text)):
        return "no letters"
    if count_words(text, language) < data.min_words:
        return "too few words"
    if len(text) > data.max_characters:
        return "too long"
    return _language_fault(text, language, data)


def _language_fault(text: str, language: str, data: DataConfig) -> str | None:
    if data.check_script and not in_its_script(text, language):
        return "wrong script"
    if data.check_language and other_language(text, language):
        return "wrong language"
    return None


def _target_fault(text: str, language: str, pivot_text: str, data: DataConfig) -> str | None:
    if not text:
        return "empty side"
    if not any(map(str.isalpha, text)):
        return "no letters"
    if normal_form(text) == normal_form(pivot_text):
        return "identical sides"
    if len(text) > data.max_characters:
        return "too long"
    lengths = sorted((len(text.encode()), len(pivot_text.encode())))
    if lengths[1] > data.max_length_ratio * lengths[0]:
        return "length ratio"
    return _language_fault(text, language, data)


def merge_by_pivot(rows: Iterable[Row], pivot: str, report: CleaningReport) -> list[Row]:
    """One many-way row a pivot text, in order of appearance; the first translation into a language wins."""
    merged: dict[str, Row] = {}
    for row in rows:
        first = merged.setdefault(row.texts[pivot], replace(row, texts={pivot: row.texts[pivot]}))
        for code, text in row.texts.items():
            if code == pivot:
                continue
            if code in first.texts:
                report.drop("duplicate", 1, code)
            else:
                first.texts[code] = text
                report.kept += 1
    return list(merged.values())
