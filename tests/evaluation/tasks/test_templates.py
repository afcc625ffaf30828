"""Sanity of all wordings in all languages, and what tasks on published sets have in common."""

import logging
import re
import unicodedata
from pathlib import Path

import pytest
from questions import parts, questions, write_jsonl

from xalign.base.errors import DataError
from xalign.base.languages import script
from xalign.config.choices import Demonstrations
from xalign.config.schema import BenchmarkConfig
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row as CorpusRow
from xalign.evaluation.sets.files import Row, Rows
from xalign.evaluation.sets.question_parts import render
from xalign.evaluation.sets.question_set import QuestionSet
from xalign.evaluation.sets.templates import Template, TemplateConfig
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import belebele, pawsx, tasks_of, xcopa, xnli, xstorycloze, xwinograd

SETS = {
    module.__name__.split(".")[-1]: module
    for module in (belebele, pawsx, xcopa, xnli, xstorycloze, xwinograd)
}
WORDED = {"pawsx": pawsx.WORDS, "xcopa": xcopa.WORDS, "xnli": xnli.WORDS}


def made_up(spec: QuestionSet, gold: int) -> Row:
    """A row whose texts are numbers in brackets, which no wording has."""
    columns = [column for group in spec.texts for column in group]
    row: dict[str, object] = {column: f"⟦{k}⟧ text {k}." for k, column in enumerate(columns)}
    row |= {column: values[0] for column, values in spec.allowed}
    if "sentence" in row:
        row["sentence"] = "⟦0⟧ begins _ and ends ⟦00⟧."
    return row | {spec.label: spec.labels[gold][0]}


@pytest.mark.parametrize("name", SETS)
def test_every_wording_in_every_language(name: str) -> None:
    spec = SETS[name].QUESTIONS
    for style, template in spec.styles.items():
        for language in spec.source.languages:
            for gold in range(len(spec.labels)):
                row = made_up(spec, gold)
                item = render(spec, template, Rows("here", [row]), 0, language)
                assert item is not None
                assert item.gold == gold
                candidates = item.candidates
                assert len(set(candidates)) == len(candidates) == len(spec.labels), (style, language)
                # Texts that belong to one candidate stand in it; all others stand in each.
                shown = "".join(candidates)
                for group in spec.texts:
                    for column in group:
                        mark = re.search("⟦[0-9]+⟧", str(row[column]))
                        assert mark is not None
                        assert mark[0] in shown, (style, language, column)
                        if len(group) == 1:
                            assert all(mark[0] in c for c in candidates), (style, language, column)
                assert not re.search(r"[{}]|  ", shown), (style, language)


@pytest.mark.parametrize("name", WORDED)
def test_words_are_in_the_script_of_their_language(name: str) -> None:
    for language, words in WORDED[name].items():
        assert len(set(words[1:] if name != "xcopa" else words)) == len(words) - (name != "xcopa"), language
        wanted = {
            "Latn": "LATIN",
            "Cyrl": "CYRILLIC",
            "Arab": "ARABIC",
            "Grek": "GREEK",
            "Deva": "DEVANAGARI",
        }
        wanted |= {"Taml": "TAMIL", "Thai": "THAI", "Mymr": "MYANMAR", "Hans": "CJK", "Jpan": "HIRAGANA"}
        wanted |= {"Kore": "HANGUL"}
        for word in words:
            letters = [unicodedata.name(c) for c in word if unicodedata.category(c) in ("Lo", "Ll", "Lu")]
            assert letters
            assert all(n.startswith(wanted[script(language)]) for n in letters), (language, word)
            assert word == word.strip()


ROW = {"premise": "p", "hypothesis": "h", "label": 1}


def test_a_wording_of_ones_own(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "dev.sw.jsonl", [ROW])
    own = TemplateConfig(contexts=["{premise} {{{right}}}"], continuations=[" {yes}", " {also}", " {no}"])
    (item,) = questions("xnli", tmp_path, template=own)["sw"].items
    assert item.contexts == ("p {sahihi}",) * 3
    assert item.continuations == (" Ndiyo", " Hivyo", " Hapana")


@pytest.mark.parametrize(
    ("contexts", "continuations", "message"),
    [
        (["{premis}"], ["a", "b", "c"], "contexts: '{premis}': no field 'premis'; .*did you mean 'premise'"),
        (["{premise.__class__}"], ["a", "b", "c"], "no field 'premise.__class__'"),
        (["{}"], ["a", "b", "c"], "no field ''"),
        (["{premise"], ["a", "b", "c"], "contexts: '{premise': expected '}'"),
        (["x"], ["a", "b"], "continuations: 2 texts; xnli has 3 candidates, so that 1 or 3 are wanted"),
        (["x"], [" {premise}"], "xnli, sw, item 0: alike candidates"),
    ],
)
def test_wordings_that_cannot_be(
    tmp_path: Path, contexts: list[str], continuations: list[str], message: str
) -> None:
    write_jsonl(tmp_path / "dev.sw.jsonl", [ROW])
    with pytest.raises(DataError, match=message):
        parts("xnli", tmp_path, template=TemplateConfig(contexts=contexts, continuations=continuations))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": "apf"}, "benchmark.style=apf: xnli has harness, afp; did you mean 'afp'"),
        ({"split": "tset"}, "benchmark.split=tset: allowed are .*; did you mean 'test'"),
        ({"split": "test"}, "benchmark.split=test: xnli in .* has only validation"),
        ({"languages": ["sw", "de"]}, "xnli has no 'de' in the validation split of .*; it has sw"),
        ({"shots": 1}, "no split in 'sw' for demonstrations besides 'validation', .* set benchmark.shots=0"),
        (
            {"shots": 1, "demonstration_split": "dev"},
            "demonstration_split=dev: is the split that is measured",
        ),
        ({"shots": 1, "demonstration_split": "test"}, "demonstration_split=test: test is only ever measured"),
        ({"shots": 1, "demonstration_split": "train"}, "demonstration_split=train: .* has only validation"),
    ],
)
def test_what_is_asked_for_and_not_there(tmp_path: Path, options: dict[str, object], message: str) -> None:
    write_jsonl(tmp_path / "dev.sw.jsonl", [ROW])
    with pytest.raises(DataError, match=message):
        parts("xnli", tmp_path, **options)


TRAIN = [{"premise": "tp", "hypothesis": "th", "label": 0}, ROW]


def test_demonstrations_are_worded_as_the_question(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.sw.jsonl", TRAIN)
    write_jsonl(tmp_path / "dev.sw.jsonl", [ROW])
    asked = questions("xnli", tmp_path, shots=1)["sw"]
    # The second row of train is the item itself, so that the first is taken whatever the seed.
    assert [shown.text for shown in asked.demonstrations] == [" tp, sahihi? Ndiyo, th\n\n"]
    assert asked.shots == 1
    assert asked.items[0].solved == " p, sahihi? Hivyo, h"


def test_code_switched_demonstrations_alternate_by_field_and_in_who_comes_first(tmp_path: Path) -> None:
    for code in ("sw", "en"):
        rows = [{"premise": f"{code} p{k}", "hypothesis": f"{code} h{k}", "label": 0} for k in (1, 2)]
        write_jsonl(tmp_path / f"train.{code}.jsonl", rows)
    write_jsonl(tmp_path / "dev.sw.jsonl", [ROW])
    asked = questions("xnli", tmp_path, shots=2, demonstrations=Demonstrations.code_switched)["sw"]
    first, second = (shown.text for shown in asked.demonstrations)
    assert re.fullmatch(r" sw p(\d), sahihi\? Ndiyo, en h\1\n\n", first)
    assert re.fullmatch(r" en p(\d), sahihi\? Ndiyo, sw h\1\n\n", second)


@pytest.mark.parametrize(
    ("english", "message"),
    [
        ([TRAIN[0] | {"label": 2}, ROW], r"sw.jsonl', line 1 and .*en.jsonl', line 1 have different answers"),
        ([ROW], r"sw.jsonl' has 2 rows, .*en.jsonl' 1"),
    ],
)
def test_code_switching_needs_parallel_files(
    tmp_path: Path, english: list[dict[str, object]], message: str
) -> None:
    write_jsonl(tmp_path / "train.sw.jsonl", TRAIN)
    write_jsonl(tmp_path / "train.en.jsonl", english)
    write_jsonl(tmp_path / "dev.sw.jsonl", [ROW])
    with pytest.raises(DataError, match=f"code_switched: xnli is not parallel here: .*{message}"):
        questions("xnli", tmp_path, shots=1, demonstrations=Demonstrations.code_switched)


def test_code_switching_is_refused_for_sets_that_are_not_parallel(tmp_path: Path) -> None:
    row = {"sentence1": "a", "sentence2": "b", "label": 0}
    for name in ("train.de", "train.en", "test.de"):
        write_jsonl(tmp_path / f"{name}.jsonl", [row | {"sentence1": name}])
    with pytest.raises(DataError, match="the languages of pawsx are not parallel"):
        questions("pawsx", tmp_path, shots=1, demonstrations=Demonstrations.code_switched)


def test_the_only_split_is_measured_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = {"premise": "a.", "choice1": "b", "choice2": "c", "question": "cause", "label": 0}
    write_jsonl(tmp_path / "val.et.jsonl", [row])
    with caplog.at_level(logging.WARNING):
        assert len(questions("xcopa", tmp_path)["et"].items) == 1
    assert "has no test split; measured on validation" in caplog.text


def test_a_benchmark_of_several_sets_passes_over_those_that_are_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_jsonl(tmp_path / "xnli" / "dev.sw.jsonl", [ROW])
    together: dict[str, object] = {"tasks": ["xnli", "xcopa"], "languages": ["sw", "et"]}
    with caplog.at_level(logging.WARNING):
        xnli_parts, xcopa_parts = (parts(name, tmp_path, **together) for name in ("xnli", "xcopa"))
    assert [(p.task, p.language) for p in xnli_parts] == [("xnli", "sw")]
    assert dict(xnli_parts[0].key)["name"] == "xnli"  # not that of the whole
    assert xcopa_parts == []
    assert "xnli has no et: not measured there" in caplog.text
    assert "xcopa is not measured: benchmark.path: no folder" in caplog.text


@pytest.mark.parametrize("name", SETS)
def test_without_a_folder_the_hub_is_asked_by_its_own_names(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SETS[name].QUESTIONS
    asked = []

    def load(hub: str, config: str, *, split: str, revision: str | None) -> list[Row]:
        asked.append((hub, config, split))
        return [made_up(spec, 1)]

    monkeypatch.setattr("datasets.load_dataset", load)
    language, config, split = {
        "belebele": ("zh", "zho_Hans", "test"),
        "pawsx": ("ja", "ja", "test"),
        "xcopa": ("qu", "qu", "test"),
        "xnli": ("sw", "sw", "validation"),
        "xstorycloze": ("eu", "eu", "eval"),
        "xwinograd": ("ja", "jp", "test"),
    }[name]
    assert [i.gold for i in questions(name, None, languages=[language])[language].items] == [1]
    assert asked == [(spec.source.hub, config, split)]


def test_templates_of_one_text_serve_all_candidates() -> None:
    spec = xnli.QUESTIONS
    template = Template(("{premise}", "{hypothesis}", "x"), (" y",))
    item = render(spec, template, Rows("here", [ROW]), 0, "de")
    assert item is not None
    assert item.candidates == ["p y", "h y", "x y"]


def test_beside_parallel_text_a_set_is_asked_in_the_languages_of_that_text(tmp_path: Path) -> None:
    row = {"premise": "A.", "choice1": "B.", "choice2": "C.", "question": "cause", "label": 0}
    for code in ("et", "sw", "th"):
        write_jsonl(tmp_path / "xcopa" / f"test.{code}.jsonl", [row])
    corpus = ParallelCorpus.from_rows([CorpusRow("made", {"en": "x", "th": "y", "fr": "z"})], "made")
    config = BenchmarkConfig(name="b", tasks=["xcopa", "retrieval"], path=str(tmp_path))
    setting = Setting(config, corpus, None, "en", ["fr", "th"], aligned_layer=1, seed=0)
    assert [part.language for part in tasks_of(setting.benchmark)["xcopa"].parts(setting)] == ["th"]
