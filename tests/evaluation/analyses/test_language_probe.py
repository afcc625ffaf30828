"""The probe: right where languages lie apart, at chance where they do not, never tested on what it knows."""

from dataclasses import replace

import numpy as np
import pytest
from made_sentences import sentences

from xalign.base.errors import DataError
from xalign.evaluation.analyses.base import Sentences
from xalign.evaluation.analyses.language_probe import LanguageProbe, balanced_accuracy, folds_of

PROBE = LanguageProbe("language_probe")


def quiet(count: int) -> None:
    pass


def shifted(made: Sentences, layer: int, by: float) -> None:
    """Move every language by a vector of its own."""
    for number, code in enumerate(dict.fromkeys(made.languages)):
        rows = [i for i, own in enumerate(made.languages) if own == code]
        made.vectors["mean"][rows, layer, number] += by


def test_languages_that_lie_apart_are_told_and_like_clouds_are_not() -> None:
    made = sentences({"de": 60, "fr": 60, "sw": 60}, layers=(0, 1))
    shifted(made, 1, 50)
    found = PROBE.measure(made, 0, quiet)
    assert found["languages"] == ["en", "de", "fr", "sw"]
    assert found["chance"] == 0.25
    alike, apart = np.array(found["values"]).mean(0)
    assert apart == 1
    assert found["stderr"][1] == 0
    assert abs(alike - 0.25) < 4 * found["stderr"][0]
    assert 0.01 < found["stderr"][0] < 0.05  # of 240 sentences about sqrt(0.25 * 0.75 / 240) = 0.028
    assert PROBE.summary(found).endswith(f"(1.00), lowest at layer 0 ({alike:.2f}); chance 0.25")


def test_what_a_sentence_means_does_not_help() -> None:
    """Translations share a vector, and no two sentences are alike: a probe that had learnt a sentence's
    translations could tell what is left."""
    made = sentences({"de": 40}, layers=(0,))
    own, pivot = made.pairs["de"][:, 1], made.pairs["de"][:, 0]
    made.vectors["mean"][own] = made.vectors["mean"][pivot]
    found = PROBE.measure(made, 0, quiet)
    # Of two texts with one vector, in one fold, just one is told rightly.
    assert np.mean(found["values"]) == pytest.approx(0.5)


def test_folds_keep_translations_together_and_leave_nothing_out() -> None:
    labels, groups = np.repeat([0, 1, 2], 20), np.tile(np.arange(20), 3)
    folds = folds_of(labels, groups, 5, seed=3)
    assert len(folds) == 5
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert set(labels[test]) == {0, 1, 2}
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(60))


def test_the_same_seed_gives_the_same_findings_and_another_one_other_folds() -> None:
    made = sentences({"de": 30}, layers=(0,))
    assert PROBE.measure(made, 1, quiet) == PROBE.measure(made, 1, quiet)
    assert PROBE.measure(made, 1, quiet)["values"] != PROBE.measure(made, 2, quiet)["values"]


def test_the_pivot_has_no_more_sentences_than_the_longest_other_and_small_languages_are_left_out() -> None:
    made = sentences({"de": 30, "fr": 20, "sw": 3}, shared=False)
    found = PROBE.measure(made, 0, quiet)
    assert dict(zip(found["languages"], found["sentences"], strict=True)) == {"en": 30, "de": 30, "fr": 20}
    with pytest.raises(
        DataError, match=r"needs 5 sentences \(analyses.language_probe.folds\) in each of two"
    ):
        PROBE.measure(sentences({"sw": 3}), 0, quiet)


def test_groups_count_as_one_in_the_error() -> None:
    labels = np.array([0, 0, 1, 1])
    right = np.array([True, False, True, False])
    recall, apart = balanced_accuracy(right, labels, np.arange(4))
    _, together = balanced_accuracy(right, labels, np.array([0, 1, 0, 1]))
    assert recall.tolist() == [0.5, 0.5]
    # Each text weighs 1/4 and is off by 1/2: sqrt(4/3 * 4 * (1/8)^2), and sqrt(2/1 * 2 * (2/8)^2).
    assert apart == pytest.approx(np.sqrt(4 / 3 * 4 / 64))
    assert together == pytest.approx(np.sqrt(2 * 2 / 16))


def test_a_text_of_two_sentences_is_in_one_fold_with_both() -> None:
    """Sentences that share a text are of one group, however many there are: too few for six folds."""
    made = sentences({"de": 10}, layers=(0,))
    joined = replace(made, groups=np.where(made.groups < 6, 0, made.groups))
    with pytest.raises(DataError, match="needs 6 sentences"):
        LanguageProbe("probe", LanguageProbe.Config(folds=6)).measure(joined, 0, quiet)
