"""Language codes: one short canonical tag for all spellings that corpora, hubs and locale folders use.

'zh', 'zho', 'cmn', 'zho_Hans' and 'zh_CN' are all 'zh'; 'zh_TW' and 'zho_Hant' are 'zh-Hant'. A region is
dropped, except that it may imply a script; a script is kept only where it is not the language's usual one.
"""

import re
from functools import lru_cache
from itertools import product
from string import ascii_lowercase

from langcodes import Language, standardize_tag

from xalign.errors import DataError, did_you_mean

# CLDR keeps these apart from the macrolanguage whose dominant member they are.
_MACROLANGUAGES = {"nb": "no", "pbt": "ps"}
# POSIX locales name scripts in words after an '@'; ISO 15924 has narrower codes for one writing system.
_SCRIPT_ALIASES = {
    "latin": "Latn",
    "cyrillic": "Cyrl",
    "arabic": "Arab",
    "devanagari": "Deva",
    "hang": "Kore",
}
_WITHOUT_SPACES = frozenset({"Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
_NOT_LANGUAGES = frozenset({"mis", "mul", "und", "zxx"})


def canonical(code: str) -> str:
    """Short canonical tag of an ISO 639-1 or -3, BCP 47 or FLORES code or a locale's name.

    Raises DataError, with the nearest known name, where `code` names no language.
    """
    tag = _parse(code)
    if tag is None:
        raise DataError(_unknown(code))
    return tag


def is_language(code: str) -> bool:
    """Whether `canonical` knows the code."""
    return _parse(code) is not None


@lru_cache(maxsize=4096)
def _parse(code: str) -> str | None:
    name, *rest = re.split(r"[-_@]", code.strip().split(".")[0])
    written = region = None
    for part in rest:
        if part.lower() in _SCRIPT_ALIASES:
            written = _SCRIPT_ALIASES[part.lower()]
        elif re.fullmatch(r"[A-Za-z]{4}", part):
            written = part.title()
        elif re.fullmatch(r"[A-Za-z]{2}|\d{3}", part):
            region = part.upper()
        elif not re.fullmatch(r"[A-Za-z0-9]{5,8}", part):  # variants such as 'valencia' are dropped
            return None
    if not re.fullmatch(r"[A-Za-z]{2,3}", name) or name.lower() in _NOT_LANGUAGES:
        return None
    if not Language.get(name).is_valid():  # `make` would not know three-letter forms such as "zho"
        return None
    # A deprecated code may stand for a language with a script: 'sh' is 'sr-Latn'.
    base = Language.get(standardize_tag(name, macro=True))
    language = _MACROLANGUAGES.get(base.language or "", base.language)
    actual = written or base.script or Language.make(language=language, territory=region).maximize().script
    usual = Language.make(language=language).maximize().script
    return f"{language}-{actual}" if actual != usual else f"{language}"


@lru_cache(maxsize=1024)
def english_name(code: str) -> str:
    """English name as it stands in prompts: 'Chinese', 'Chinese (Traditional)'."""
    return Language.get(canonical(code)).display_name("en")


@lru_cache(maxsize=1024)
def script(code: str) -> str:
    """ISO 15924 code of the script: 'Latn', 'Hans', 'Jpan'."""
    return str(Language.get(canonical(code)).maximize().script)


def has_spaces(code: str) -> bool:
    """Whether the language puts spaces between words."""
    return script(code) not in _WITHOUT_SPACES


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Lower-case English name -> code, of all languages with a two-letter code."""
    codes = ("".join(pair) for pair in product(ascii_lowercase, repeat=2))
    return {Language.make(language=c).display_name("en").lower(): c for c in codes if is_language(c)}


def _unknown(code: str) -> str:
    names = _names()
    hint = did_you_mean(code.lower(), names)
    if hint:
        name = hint.split("'")[1]
        hint = f"; did you mean '{names[name]}' ({name.title()})?"
    else:
        hint = did_you_mean(code.lower().replace("_", "-"), names.values())
    allowed = "ISO 639-1 or -3, BCP 47 or FLORES codes, such as 'de', 'deu', 'zh-Hant', 'deu_Latn'"
    return f"unknown language '{code}' (allowed: {allowed}){hint}"
