import pytest

from xalign.config.text import DataConfig
from xalign.data.cleaning import (
    CleaningReport,
    clean,
    count_words,
    merge_by_pivot,
    normal_form,
    plain,
    strip_markup,
)
from xalign.data.rows import Row

DATA = DataConfig(name="own")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Hello %(name)s, you have %d items", "Hello, you have items"),
        ("Size: %(size).1f MB of %s", "Size: MB of"),
        ("50%% are done", "50% are done"),
        ("Click <a href='%(url)s'>here</a> now", "Click here now"),
        ("{count, plural, one {# page} other {# pages}} deleted", "deleted"),
        ("{{ user }} likes ${thing}", "likes"),
        ("Salt &amp; pepper &mdash; caf&eacute;", "Salt & pepper — café"),
        ("&File", "File"),
        ("E&xit now", "Exit now"),
        ("文件(&F)", "文件"),
        ("Research & R&D at AT&T", "Research & R&D at AT&T"),
        ("_Open the file", "Open the file"),
        ("set html_static_path here", "set html_static_path here"),
        ("see :ref:`the index <genindex>` and ``code``", "see the index and code"),
        ("**bold** and *slanted*", "bold and slanted"),
        ("[the docs](https://x.org/a) say", "the docs say"),
        ('Delete "%s"?', "Delete ?"),
        ("by %s, on (%s).", "by, on."),
        ("two\n  lines\u00a0here", "two lines here"),
        ("a\u200bb\u00adc d", "abc d"),
        ("Cafe\u0301 du coin", "Café du coin"),
        ("选择%s查看", "选择 查看"),
        ("the __all__ attribute of _x_", "the __all__ attribute of x"),
        ("see (<b>%s</b>) and （%s）", "see and"),
        ("Formats: %s. Starting from %s, %s, %s and so on", "Formats. Starting from, and so on"),
        ("The %(x)s.rst file, 使用 %s。", "The .rst file, 使用。"),
        ("It starts (%s", "It starts"),
        ('Added \\"%s\\" twice', "Added twice"),
    ],
)
def test_markup_is_taken_off(written: str, read: str) -> None:
    assert strip_markup(written) == read


def test_plain_text_keeps_what_only_looks_like_markup() -> None:
    assert plain("50 %s {x} <b>  _y_\n") == "50 %s {x} <b> _y_"


def test_normal_form_keeps_what_tells_words_apart() -> None:
    assert normal_form("Save changes!") == normal_form("save  CHANGES")
    # Letters alike, vowel signs (marks) different.
    assert normal_form("की") != normal_form("के")
    assert normal_form("item 1") != normal_form("item 2")


def test_words_are_counted_in_scripts_without_spaces() -> None:
    assert count_words("three words here", "de") == 3
    assert count_words("我喜欢猫。", "zh") == 2


def drops(pivot: str, target: str, **changes: int | float) -> dict[str, int]:
    data = DataConfig(**{"name": "own", **changes})  # type: ignore[arg-type]
    report = CleaningReport()
    kept = list(clean([Row("s", {"en": pivot, "fr": target})], data, "en", ["fr"], False, report))
    assert len(kept) == (not report.dropped)
    return report.dropped


def test_each_reason_to_drop() -> None:
    assert drops("one two three", "un deux trois") == {}
    assert drops("one two three", "  ") == drops("", "un deux trois") == {"empty side": 1}
    assert drops("one two", "un deux") == {"too few words": 1}
    assert drops("one two three", "One, two, three!") == {"identical sides": 1}
    assert drops("one two three", "1 2 3") == drops("1 2 3", "un deux trois") == {"no letters": 1}
    assert drops("one two three", "un deux trois", max_characters=12) == {"too long": 1}
    # 13 bytes against 26: exactly twice as long passes, one byte more does not.
    assert drops("one two three", "x" * 26, max_length_ratio=2.0) == {}
    assert drops("one two three", "x" * 27, max_length_ratio=2.0) == {"length ratio": 1}
    assert drops("one two three", "é" * 14, max_length_ratio=2.0) == {"length ratio": 1}


def test_a_bad_target_leaves_the_others_and_faults_are_counted() -> None:
    report = CleaningReport()
    rows = [
        Row("a", {"en": "one two three", "fr": "", "de": "eins zwei drei"}),
        Row("b", {"en": "four five six", "fr": "quatre cinq six"}, fault="fuzzy"),
    ]
    assert list(clean(rows, DATA, "en", None, False, report)) == [
        Row("a", {"en": "one two three", "de": "eins zwei drei"})
    ]
    assert report.dropped == {"empty side": 1, "fuzzy": 1}


def test_rows_of_one_pivot_text_become_one_and_the_first_translation_wins() -> None:
    report = CleaningReport()
    rows = [
        Row("a", {"en": "x", "fr": "un"}),
        Row("b", {"en": "y", "fr": "autre"}),
        Row("c", {"en": "x", "fr": "deux", "de": "eins"}),
    ]
    assert merge_by_pivot(rows, "en", report) == [
        Row("a", {"en": "x", "fr": "un", "de": "eins"}),
        Row("b", {"en": "y", "fr": "autre"}),
    ]
    assert (report.kept, report.dropped) == (3, {"duplicate": 1})
    assert report.summary() == "3 pairs kept, 1 dropped (duplicate 1)"
