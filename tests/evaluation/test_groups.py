import pytest

from xalign.base.languages import canonical
from xalign.evaluation.groups import (
    RESOURCE_CLASS,
    Gap,
    by_resources,
    by_script,
    gap,
    mean_over,
    resource_level,
    telling_groups,
)

XNLI = ["en", "fr", "de", "es", "el", "bg", "ru", "tr", "ar", "vi", "th", "zh", "hi", "sw", "ur"]


def test_codes_are_canonical() -> None:
    assert all(canonical(code) == code for code in RESOURCE_CLASS)


@pytest.mark.parametrize(
    ("code", "level"),
    [("en", "high"), ("hi", "high"), ("th", "mid"), ("sw", "low"), ("my", "low"), ("zh-Hant", None)],
)
def test_level_by_class(code: str, level: str | None) -> None:
    assert resource_level(code) == level


def test_the_high_classes_are_those_of_the_paper() -> None:
    # 7 languages of class 5 and 18 of class 4.
    assert sum(number == 5 for number in RESOURCE_CLASS.values()) == 7
    assert sum(number == 4 for number in RESOURCE_CLASS.values()) == 18


def test_xnli_by_resources_and_script() -> None:
    assert by_resources(XNLI) == {
        "high-resource": ("en", "fr", "de", "es", "ru", "tr", "ar", "vi", "zh", "hi"),
        "mid-resource": ("el", "bg", "th", "ur"),
        "low-resource": ("sw",),
    }
    assert by_script(XNLI) == {
        "Latin script": ("en", "fr", "de", "es", "tr", "vi", "sw"),
        "Cyrillic script": ("bg", "ru"),
        "Arabic script": ("ar", "ur"),
        "other scripts": ("el", "th", "zh", "hi"),
    }


def test_unknown_languages_are_in_no_group() -> None:
    assert by_resources(["nso", "xx-nothing", "de"]) == {"high-resource": ("de",)}
    assert by_script(["xx-nothing", "de", "fr"]) == {"Latin script": ("de", "fr")}


def test_groups_that_tell_something_have_two_languages_each() -> None:
    assert list(telling_groups(XNLI)) == [
        "high-resource", "mid-resource", "Latin script", "Cyrillic script", "Arabic script", "other scripts",
    ]  # fmt: skip
    assert telling_groups(["de", "fr", "sw"]) == {}
    assert list(telling_groups(["de", "fr", "ta", "th"])) == [
        "high-resource", "mid-resource", "Latin script", "other scripts",
    ]  # fmt: skip


def test_mean_over_those_that_have_a_value() -> None:
    assert mean_over({"de": 0.2, "fr": 0.4, "sw": 0.9}, ["de", "fr", "th"]) == pytest.approx(0.3)
    assert mean_over({"de": 0.2}, ["th"]) is None


def test_gap_by_hand() -> None:
    before = {"en": 0.8, "de": 0.6, "sw": 0.4}
    after = {"en": 0.8, "de": 0.7, "sw": 0.6, "th": 0.1}
    found = gap(before, after, "en")
    assert found is not None
    assert (found.before, found.after, found.closed) == pytest.approx((0.3, 0.15, 0.5))
    assert gap({"de": 0.5}, {"de": 0.6}, "en") is None
    assert gap({"en": 0.5}, {"en": 0.6}, "en") is None
    assert Gap(0.1, 0.2).closed == pytest.approx(-1.0)
    assert Gap(0.0, 0.1).closed is None
    assert Gap(-0.1, 0.1).closed is None
