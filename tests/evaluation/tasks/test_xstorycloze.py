from pathlib import Path

from questions import questions, write_jsonl, write_tsv

ROW = {f"input_sentence_{k}": f"S{k}." for k in (1, 2, 3, 4)} | {
    "sentence_quiz1": "End one.",
    "sentence_quiz2": "End two.",
    "answer_right_ending": 2,
}


def test_wording_of_the_harness(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "sw" / "eval.jsonl", [ROW])
    (item,) = questions("xstorycloze", tmp_path)["sw"].items
    assert item.contexts == ("S1. S2. S3. S4.",) * 2
    assert item.continuations == (" End one.", " End two.")
    assert item.gold == 1


def test_the_authors_tables(tmp_path: Path) -> None:
    write_tsv(
        tmp_path / "spring2016.val.te.tsv.split_20_80_eval.tsv", ["story_id", *ROW], ["x", *ROW.values()]
    )
    assert questions("xstorycloze", tmp_path)["te"].items[0].solved == "S1. S2. S3. S4. End two."
    head = ["InputStoryid", *(f"InputSentence{k}" for k in (1, 2, 3, 4))]
    head += ["RandomFifthSentenceQuiz1", "RandomFifthSentenceQuiz2", "AnswerRightEnding"]
    for split, first in (("train", "T1."), ("eval", "S1.")):
        row = ["x", first, "S2.", "S3.", "S4.", "End one.", "End two.", 1]
        write_tsv(tmp_path / f"spring2016.val.en.tsv.split_20_80_{split}.tsv", head, row)
    asked = questions("xstorycloze", tmp_path, shots=1, languages=["en"])["en"]
    assert asked.items[0].solved == "S1. S2. S3. S4. End one."
    assert [shown.text for shown in asked.demonstrations] == ["T1. S2. S3. S4. End one.\n\n"]
