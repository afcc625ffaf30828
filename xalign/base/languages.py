"""Language codes: one short canonical tag for all spellings that corpora, hubs and locale folders use.

'zh', 'zho', 'cmn', 'zho_Hans' and 'zh_CN' are all 'zh'; 'zh_TW' and 'zho_Hant' are 'zh-Hant'. A region is
dropped, except that it may imply a script; a script is kept only where it is not the language's usual one.
Variants, extensions and all that follows an '@' and names no script ('de_DE@euro') are dropped. Of languages
with a two-letter code the name counts as well, in English ('German') and in the language itself ('Deutsch').
"""

import re
from functools import lru_cache
from itertools import product
from string import ascii_lowercase

from langcodes import Language, standardize_tag
from langcodes.data_dicts import MACROLANGUAGES
from langcodes.tag_parser import LanguageTagError

from xalign.base.errors import DataError, did_you_mean

# CLDR keeps these apart from the macrolanguage whose dominant member they are.
_MACROLANGUAGES = {"nb": "no", "pbt": "ps"}
# POSIX locales name scripts, and orthographies that imply one, in words.
_SCRIPT_WORDS = {
    "latin": "Latn",
    "iqtelif": "Latn",
    "ijekavianlatin": "Latn",
    "cyrillic": "Cyrl",
    "arabic": "Arab",
    "devanagari": "Deva",
}
# ISO 15924 has narrower codes for parts of one writing system.
_WIDER_SCRIPTS = {"Hang": "Kore"}
_WITHOUT_SPACES = frozenset({"Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
_NOT_LANGUAGES = frozenset({"mis", "mul", "und", "zxx"})


def canonical(code: str) -> str:
    """Short canonical tag of an ISO 639-1 or -3, BCP 47 or FLORES code or a locale's name.

    Raises DataError, with the nearest known name, where `code` names no language.
    """
    tag = _parse(code)
    if tag is None:
        raise DataError(unknown(code))
    return tag


def is_language(code: str) -> bool:
    """Whether `canonical` knows the code."""
    return _parse(code) is not None


@lru_cache(maxsize=4096)
def _parse(code: str) -> str | None:
    """The canonical tag of a BCP 47 tag, a locale's name or a language's."""
    found = _parse_tag(code)
    name = code.strip().lower()
    if found is None and (len(name) > 3 or not name.isascii()):
        named = _names().get(name) or _own_names().get(name)
        found = None if named is None else _parse_tag(named)
    return found


def _parse_tag(code: str) -> str | None:
    """The canonical tag of a BCP 47 tag or of `language[_TERRITORY][.charset][@modifier]`."""
    locale, _, modifier = code.strip().partition("@")
    name, *rest = re.split(r"[-_]", locale.split(".")[0])
    words = [word.lower() for word in (*rest, modifier)]
    written = next((_SCRIPT_WORDS[word] for word in words if word in _SCRIPT_WORDS), None)
    tag = "-".join([name, *(part for part in rest if part.lower() not in _SCRIPT_WORDS)])
    try:
        given = Language.get(tag)
    except LanguageTagError:
        return None
    written = written or given.script
    if not written and modifier and Language.make(script=modifier.title()).is_valid():
        written = modifier.title()
    # An extended subtag is a language of its own, written behind its macrolanguage: 'zh-cmn'.
    extended = given.extlangs[0] if given.extlangs else None
    if extended and given.language not in (MACROLANGUAGES.get(extended), "sgn"):
        return None
    subtag = extended or given.language or ""
    if not re.fullmatch(r"[a-z]{2,3}", subtag) or subtag in _NOT_LANGUAGES:
        return None
    if not Language.make(language=subtag, script=given.script).is_valid():
        return None
    macro = standardize_tag(subtag, macro=True)
    language = _MACROLANGUAGES.get(macro, macro)
    actual = written or Language.make(language=language, territory=given.territory).maximize().script
    actual = _WIDER_SCRIPTS.get(str(actual), actual)
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
    return {Language.make(language=c).display_name("en").lower(): c for c in _two_letter_codes()}


@lru_cache(maxsize=1)
def _own_names() -> dict[str, str]:
    """The same in the language itself: 'deutsch' -> 'de'."""
    return {Language.make(language=c).autonym().lower(): c for c in _two_letter_codes()}


def _two_letter_codes() -> list[str]:
    codes = ("".join(pair) for pair in product(ascii_lowercase, repeat=2))
    return [code for code in codes if _parse_tag(code) is not None]


def unknown(code: str) -> str:
    """What to say of a code that names no language, with the nearest known name."""
    names = _names()
    hint = did_you_mean(code.lower(), names)
    if hint:
        name = hint.split("'")[1]
        hint = f"; did you mean '{names[name]}' ({name.title()})?"
    else:
        hint = did_you_mean(code.lower().replace("_", "-"), names.values())
    allowed = "ISO 639-1 or -3, BCP 47 or FLORES codes, such as 'de', 'deu', 'zh-Hant', 'deu_Latn'"
    return f"unknown language '{code}' (allowed: {allowed}){hint}"
