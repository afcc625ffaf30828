"""Texts that are not what their column says."""

from pathlib import Path

import pytest

from xalign.config.text import DataConfig
from xalign.data.cleaning import CleaningReport, clean, merge_by_pivot
from xalign.data.parallel import load_corpus
from xalign.data.quality import in_its_script, mended, other_language
from xalign.data.rows import Row


@pytest.mark.parametrize(
    ("broken", "right"),
    [
        ("Ã¼ber die StraÃŸe", "über die Straße"),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚, Ð¼Ð¸Ñ€", "привет, мир"),
        ("dâ€™accord", "d’accord"),
        ("über die Straße", "über die Straße"),
        ("HÃ", "HÃ"),
        ("ผู้ใช้", "ผู้ใช้"),
        ("naïve café — “so” …", "naïve café — “so” …"),
    ],
)
def test_wrong_decoding_is_mended_and_right_text_left(broken: str, right: str) -> None:
    assert mended(broken) == right


@pytest.mark.parametrize(
    ("text", "language", "right"),
    [
        ("Click here", "th", False),
        ("คลิก here", "th", True),
        ("你好", "zh", True),
        ("你好", "zh-Hant", True),
        ("hello", "zh", False),
        ("こんにちは", "ja", True),
        ("漢字", "ja", True),
        ("привет", "ja", False),
        ("안녕", "ko", True),
        ("здраво", "sr", True),
        ("zdravo", "sr", False),
        ("zdravo", "sr-Latn", True),
        ("سلام", "ur", True),
        ("привет", "de", False),
        ("123 %", "th", True),
        ("नमस्ते", "hi", True),
    ],
)
def test_scripts(text: str, language: str, right: bool) -> None:
    assert in_its_script(text, language) is right


def test_other_languages_are_told_where_it_is_certain() -> None:
    english = "This is a house by the river, and its garden is green in the summer."
    assert other_language(english, "de") == "en"
    assert other_language(english, "en") is None
    assert other_language("a house", "de") is None  # too short
    assert other_language(english, "tpi") is None  # which is not known
    assert other_language("Det er et hus ved elven, og hagen er grønn om sommeren.", "da") is None


def test_each_filter_counts_by_language_and_can_be_switched_off() -> None:
    rows = [
        Row("x", {"en": "the sky is blue", "th": "ท้องฟ้าเป็นสีฟ้า", "hi": "sky is blue today"}),
        Row("x", {"en": "привет мир как дела", "th": "สวัสดี"}),
        Row("x", {"en": "the street is long", "de": "die StraÃŸe ist lang"}),
        Row("x", {"en": "a house by the river", "de": "This is a house by the river in the garden."}),
    ]

    def kept(**keys: object) -> tuple[list[dict[str, str]], CleaningReport]:
        data = DataConfig(name="x", **keys)  # type: ignore[arg-type]
        report = CleaningReport()
        merged = merge_by_pivot(clean(rows, data, "en", None, False, report), "en", report)
        return [row.texts for row in merged], report

    texts, report = kept(check_language=True)
    assert texts == [
        {"en": "the sky is blue", "th": "ท้องฟ้าเป็นสีฟ้า"},
        {"en": "the street is long", "de": "die Straße ist lang"},
    ]
    assert report.dropped == {"wrong script": 2, "wrong language": 1}
    assert report.by_language == {"hi": {"wrong script": 1}, "de": {"wrong language": 1}}
    assert report.examples["wrong script"][0] == "the sky is blue ||| sky is blue today"
    texts, report = kept(check_script=False, mend_encoding=False)
    assert len(texts) == 4
    assert report.dropped == {}
    assert texts[2]["de"] == "die StraÃŸe ist lang"


def test_near_duplicates(tmp_path: Path) -> None:
    long = "the committee will publish its report on the state of the rivers in the spring of next year"
    sentences = [
        long,
        long + " again",
        "a wholly different sentence about cats and dogs",
        long.replace("rivers", "lakes"),
    ]
    text = "".join(f"{x}\t{n} Satz {x[::-1]}\n" for n, x in enumerate(sentences))
    (tmp_path / "p.tsv").write_text("en\tde\n" + text)
    data = DataConfig(name="x", path=str(tmp_path / "p.tsv"), near_duplicates=0.7)
    corpus, report = load_corpus(data, "en", {"de": ""})
    assert corpus.texts("en") == [sentences[0], sentences[2]]
    assert report.dropped == {"near duplicate": 2}
    assert report.kept == 2
    assert report.by_language == {"de": {"near duplicate": 2}}
    assert report.examples["near duplicate"][0] == f"{sentences[1]} ||| {long}"
