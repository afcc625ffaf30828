"""One's own instructions in the layouts that people have."""

import json
from pathlib import Path

import pytest

from xalign.base.errors import ConfigError, DataError
from xalign.config.text import InstructionsConfig, LanguagesConfig
from xalign.data.instructions import load_instructions
from xalign.data.instructions.base import InstructionSample
from xalign.data.instructions.records import SOURCE, OwnInstructions, read
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Turn

LAYOUTS = {
    "Alpaca": {"instruction": "Add.", "input": "1 and 2", "output": "3"},
    "no input": {"instruction": "Add.", "input": "", "output": "3"},
    "aya": {"inputs": "Add.", "targets": "3", "language": "English", "language_code": "eng"},
    "prompt": {"prompt": "Add.", "response": "3", "lang": "en"},
    "messages": {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Add."},
            {"role": "assistant", "content": "3"},
            {"role": "user", "content": "More."},
        ]
    },
    "ShareGPT": {"conversations": [{"from": "human", "value": "Add."}, {"from": "gpt", "value": "3"}]},
}


def written(folder: Path, *records: object) -> Path:
    (folder / "own.json").write_text(json.dumps(records), encoding="utf-8")
    return folder / "own.json"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, tmp_path: Path) -> None:
    (row,) = read(written(tmp_path, LAYOUTS[layout]), {}, "en")
    assert row.turns == {"en": Turn("Add.", "1 and 2" if layout == "Alpaca" else "", "3")}


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, {"q": "Add.", "reply": "3", "tongue": "Deutsch"})
    with pytest.raises(DataError, match=r"line 1: no instruction \(it has: q, reply, tongue\); name"):
        read(path, {}, "en")
    (row,) = read(path, {"instruction": "q", "output": "reply", "language": "tongue"}, "en")
    assert row.turns == {"de": Turn("Add.", "", "3")}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"instruction": "x"}, "no output"),
        ({"instruction": "x", "output": "y", "language": "Klingonian"}, "'Klingonian' is no language"),
        ({"messages": [{"role": "user", "content": "x"}]}, "a conversation without"),
    ],
)
def test_what_is_missing_is_placed(record: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"own.json', line 1: {message}"):
        read(written(tmp_path, record), {}, "en")


def samples(path: Path, targets: list[str], **options: float) -> list[InstructionSample]:
    config = InstructionsConfig(source="records", path=str(path), **options)  # type: ignore[arg-type]
    languages = LanguagesConfig(pivot="en", targets=targets)
    return load_instructions(config, languages, ParallelCorpus.from_rows([], "none"), 0).batch(0, 300)


def test_records_of_one_id_are_asked_across_languages(tmp_path: Path) -> None:
    records = [
        {"id": n, "instruction": f"{code} ask {n}", "output": f"{code} say {n}", "language": code}
        for n in range(20)
        for code in ("en", "de")
    ]
    found = samples(written(tmp_path, *records), ["de"], p_cross=0.5)
    cross = [own for own in found if own.prompt_language != own.answer_language]
    assert len(cross) / 300 == pytest.approx(0.5, abs=0.1)
    for own in found:
        number = own.answer.rsplit(" ", 1)[1]
        assert own.answer == f" {own.answer_language} say {number}"
        assert own.prompt.startswith(f"{own.prompt_language} ask {number} Answer in ")
        assert own.input is not None
        assert own.prompt[slice(*own.input)] == f"{own.prompt_language} ask {number}"


def test_records_of_one_language_are_asked_in_it(tmp_path: Path) -> None:
    path = written(tmp_path, *({"instruction": f"ask {n}", "output": f"say {n}"} for n in range(20)))
    found = samples(path, ["de"], p_cross=1.0)
    assert {(own.prompt_language, own.answer_language) for own in found} == {("en", "en")}
    config = InstructionsConfig(source="records", path=str(path))
    with pytest.raises(ConfigError, match=r"no instruction in fr, de \(it has: en\)"):
        OwnInstructions(read(path, {}, "en"), LanguagesConfig(pivot="fr", targets=["de"]), config, 0)


def test_ids_that_repeat_within_a_language_say_nothing(tmp_path: Path) -> None:
    record = {"id": 1, "instruction": "x", "output": "y"}
    assert len(read(written(tmp_path, record, record), {}, "en")) == 2


def test_mistakes_in_the_configuration() -> None:
    config = InstructionsConfig(source="records", columns={"answr": "x"})
    problems = list(SOURCE.problems(config))
    assert "instructions.path: required" in problems[0]
    assert "instructions.columns.answr: must be one of instruction, input, output" in problems[1]
