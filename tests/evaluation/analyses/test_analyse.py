"""Analyses of a model: what they are given, what is kept, what is said where they cannot be made."""

from pathlib import Path

import pytest
import torch
from tiny import tiny_backbone

from xalign.base.errors import ConfigError
from xalign.config.parts import AnalysisConfig
from xalign.evaluation.analyse import analyse, require_possible
from xalign.evaluation.analyses import analyses_of
from xalign.evaluation.analyses.base import Analysis, Needs, Sentences
from xalign.evaluation.analyses.cka import Cka
from xalign.evaluation.engine import session as session_module
from xalign.evaluation.engine.session import Session
from xalign.evaluation.findings import AnalysedModel, options_of
from xalign.evaluation.sets.translations import represented, wanted_pairs

PAIRS = {
    "de": [(f"sentence {i}", f"Satz {i}") for i in range(8)],
    "fr": [(f"sentence {i}", f"phrase {i}") for i in range(6)] + [("SENTENCE 0", "double")],
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))


def session(seed: int = 0) -> Session:
    return Session(tiny_backbone("llama", seed), "held", 256)


def found_by(analyses: dict[str, Analysis], seed: int = 0, weights: int = 0) -> AnalysedModel:
    found = analyse(session(weights), analyses, PAIRS, pivot="en", dtype=torch.float32, seed=seed)
    return AnalysedModel(model="tiny", text="held", analyses=found)


def test_an_analysis_gets_the_vectors_that_it_needs() -> None:
    needs = Cka("cka", Cka.Config(layers=[3, 1], sentences=7, languages=["fra", "de"])).needs
    assert (needs.layers, needs.languages) == ([1, 3], ["fr", "de"])
    pairs = wanted_pairs(PAIRS, needs)
    assert [len(pairs[code]) for code in ("fr", "de")] == [6, 7]  # without the pair whose English came before
    own = session()
    given = represented(own, "en", pairs, needs, lambda count: None)
    assert given.layers == [1, 3]
    pivot, foreign = given.pairs["fr"][5]
    (vectors,) = given.vectors.values()
    texts = own.represent(["sentence 5", "phrase 5"], needs.vectors.poolings[0], 64)
    assert vectors.shape == (13 + 7, 2, 32)  # of 7 English sentences, 6 French, 7 German
    assert torch.equal(torch.tensor(vectors[[pivot, foreign]]), texts[:, [1, 3]])
    assert (given.languages[pivot], given.languages[foreign]) == ("en", "fr")
    # A sentence and its two translations are one group.
    assert given.groups[pivot] == given.groups[foreign] == given.groups[given.pairs["de"][5][1]]
    assert len(set(given.groups)) == 7


def test_texts_that_are_alike_join_the_groups_of_their_translations() -> None:
    pairs = {"de": [("a file", "Datei"), ("one file", "datei"), ("a page", "Seite")]}
    needs = Cka("cka").needs
    groups = represented(session(), "en", pairs, needs, lambda count: None).groups
    assert len(set(groups)) == 2


def test_the_second_time_nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    first = found_by(analyses_of({"cka": Cka.Config()}))
    assert first.analyses["cka"].findings["languages"] == ["de", "fr"]
    monkeypatch.setattr(session_module, "represent", lambda *_, **__: pytest.fail("computed again"))
    assert found_by(analyses_of({"cka": Cka.Config()})) == first
    for changed in (
        lambda: found_by(analyses_of({"cka": Cka.Config(debiased=False)})),
        lambda: found_by(analyses_of({"cka": Cka.Config()}), seed=1),
        lambda: found_by(analyses_of({"cka": Cka.Config()}), weights=1),
    ):
        with pytest.raises(pytest.fail.Exception, match="computed again"):
            changed()


def test_vectors_that_a_task_has_asked_for_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    own = session()
    analyses = analyses_of({"cka": Cka.Config()})
    own.represent(sorted({text for pairs in PAIRS.values() for p in pairs for text in p}), "mean", 64)
    monkeypatch.setattr(session_module, "represent", lambda *_, **__: pytest.fail("computed again"))
    assert analyse(own, analyses, PAIRS, pivot="en", dtype=torch.float32, seed=0)


def test_what_has_too_little_text_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    few = {"de": PAIRS["de"][:3]}
    own = analyses_of({"cka": Cka.Config()})
    assert analyse(session(), own, few, pivot="en", dtype=torch.float32, seed=0) == {}
    assert "cka: no language has 4 pairs with en; left out" in caplog.text


def test_the_file_holds_what_was_found_and_answers_for_the_same_options_and_version(tmp_path: Path) -> None:
    found = found_by(analyses_of({"cka": Cka.Config()}))
    found.write(tmp_path / "before.analyses.json")
    assert AnalysedModel.read(tmp_path / "before.analyses.json") == found
    assert found.answers(analyses_of({"cka": Cka.Config()})) == found.analyses
    assert found.answers(analyses_of({"cka": Cka.Config(layers=[1])})) == {}

    class Newer(Cka):
        version = "2"

    assert found.answers({"cka": Newer("cka")}) == {}


def test_layers_and_languages_that_are_not_there_are_refused() -> None:
    own = analyses_of({"cka": Cka.Config(layers=[2, 5], languages=["dee", "swh"])})
    with pytest.raises(ConfigError) as error:
        require_possible(own, 4, ["de", "fr"])
    layers, unknown, missing = error.value.problems
    assert layers == "analyses.cka.layers=[2, 5]: the model has layers 0 to 4"
    assert unknown.startswith("analyses.cka.languages=['dee', 'swh']:")
    assert "'dee'" in unknown
    assert missing.endswith("no text in 'sw' (there is: de, fr)")


def test_a_further_pooling_comes_from_the_same_pass() -> None:
    """`needs` may ask for several; each is of the same texts."""

    class Both(Analysis):
        Config = AnalysisConfig

        @property
        def needs(self) -> Needs:
            plain = super().needs
            return Needs(vectors=type(plain.vectors)(["mean", "last"], 64), sentences=4)  # type: ignore[list-item]

        def measure(self, sentences: Sentences, seed: int, advance: object) -> dict[str, object]:
            return {"shapes": [list(vectors.shape) for vectors in sentences.vectors.values()]}

    (found,) = found_by({"both": Both("both")}).analyses.values()
    assert found.findings == {"shapes": [[4 + 4 + 4, 5, 32]] * 2}
    assert found.options == options_of(Both("both"))
