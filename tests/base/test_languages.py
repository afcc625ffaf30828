import subprocess
import sys

import pytest

from xalign.base.errors import DataError
from xalign.base.languages import canonical, english_name, has_spaces, is_language, script

SPELLINGS = {
    "zh": ["zh", "zho", "zho_Hans", "zh_CN", "zh-Hans-CN", "cmn", "zh_Hans", "zh-cmn-Hans-CN"],
    "zh-Hant": ["zh_TW", "zh-Hant", "zho_Hant", "zh_HK", "zh_TW.Big5", "zh-Hant-TW"],
    "sw": ["sw", "swh", "swa"],
    "et": ["et", "est", "ekk"],
    "ar": ["ar", "ara", "arb", "arb_Arab"],
    "sr": ["sr", "srp_Cyrl", "sr_RS"],
    "sr-Latn": ["sr@latin", "sr_RS.UTF-8@latin", "sr_Latn", "sh", "sr@ijekavianlatin"],
    "pt": ["pt_BR", "por_Latn", "pt"],
    "es": ["es_419", "spa", "es_MX"],
    "de": ["de_DE", "deu", "de_DE@euro", "de_DE.ISO-8859-15@euro", "de-CH-1996", "de-DE-u-co-phonebk"],
    "he": ["iw", "he_IL"],
    "no": ["nb", "nob_Latn", "no"],
    "ko": ["kor_Hang", "ko"],
    "en": ["eng", "en_XX", "en_GB", "en@quot", "en-US-x-twain"],
    "en-Shaw": ["en@shaw"],
    "tt-Latn": ["tt_RU@iqtelif"],
    "ca": ["ca@valencia", "ca_ES.UTF-8@valencia", "cat_Latn_vale1252"],
    "sl": ["sl-rozaj-biske-1994"],
    "yue": ["zh-yue", "yue"],
    "aao": ["ar-aao"],
    "ase": ["sgn-ase"],
    "tlh": ["i-klingon"],
    "tr": ["Turkish", "Türkçe", "turkish"],
    "fa": ["Persian", "فارسی"],
    "ja": ["Japanese", "日本語"],
}


@pytest.mark.parametrize(("tag", "spelling"), [(tag, s) for tag, all_ in SPELLINGS.items() for s in all_])
def test_spellings_of_one_language(tag: str, spelling: str) -> None:
    assert canonical(spelling) == tag
    assert canonical(tag) == tag


@pytest.mark.parametrize(
    "code",
    [
        "",
        "xx",
        "zxx",
        "template",
        "LC_MESSAGES",
        "de-eng",
        "ara-eng",
        "de_Euro",
        "x-own",
        "@latin",
        "md",
        "json",
    ],
)
def test_what_is_no_language(code: str) -> None:
    assert not is_language(code)
    with pytest.raises(DataError, match=f"unknown language '{code}'"):
        canonical(code)


def test_a_name_leads_to_its_code() -> None:
    with pytest.raises(DataError, match=r"did you mean 'de' \(German\)"):
        canonical("germann")


def test_names_and_scripts() -> None:
    assert (english_name("cmn"), english_name("zh_TW"), english_name("swh")) == (
        "Chinese",
        "Chinese (Traditional)",
        "Swahili",
    )
    assert (script("zh"), script("zh_TW"), script("hin")) == ("Hans", "Hant", "Deva")
    assert [has_spaces(code) for code in ("en", "zh", "ja", "th", "ko", "ar")] == [
        True,
        False,
        False,
        False,
        True,
        True,
    ]


def test_import_pulls_in_nothing_heavy() -> None:
    heavy = "('torch', 'datasets', 'numpy')"
    code = f"import sys, xalign.base.languages; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
