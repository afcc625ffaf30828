from pathlib import Path

from questions import questions, write_jsonl, write_tsv

HEAD = ["id", "sentence1", "sentence2", "label"]
FIRST = 'Pete ( Peter ) did n\'t go , " he said " .'
SECOND = "( Peter ) Stayed ."


def test_wording_of_the_harness(tmp_path: Path) -> None:
    for language in ("en", "ja"):
        write_tsv(tmp_path / language / "test_2k.tsv", HEAD, [1, FIRST, SECOND, 1], [2, "", "b", 0])
    asked = questions("pawsx", tmp_path)
    (item,) = asked["en"].items
    assert item.contexts == ("", "")
    assert item.continuations == (
        'Pete (Peter) didn\'t go,"he said", right? No, (Peter) Stayed.',
        'Pete (Peter) didn\'t go,"he said", right? Yes, (Peter) Stayed.',
    )
    assert item.gold == 1
    # Japanese, Korean and Chinese stay as they are, rows without a sentence too.
    assert [i.continuations[0] for i in asked["ja"].items] == [
        f"{FIRST}, ですね? いいえ, {SECOND}",
        ", ですね? いいえ, b",
    ]


def test_second_sentences_begin_in_lower_case_and_numbers_stay_those_of_the_file(tmp_path: Path) -> None:
    rows = [{"sentence1": a, "sentence2": b, "label": 0} for a, b in (("", "x"), ("Ja; ", "Österreich"))]
    write_jsonl(tmp_path / "de" / "test.jsonl", rows)
    (item,) = questions("pawsx", tmp_path, limit=1)["de"].items
    assert item.index == 1
    assert item.continuations[1] == "Ja, richtig? Ja, österreich"


def test_sentences_as_they_stand_in_the_style_of_afp(tmp_path: Path) -> None:
    write_tsv(tmp_path / "en" / "test.tsv", HEAD, [1, FIRST, SECOND, 0])
    (item,) = questions("pawsx", tmp_path, style="afp")["en"].items
    assert item.continuations == (f"{FIRST}, right? No, {SECOND}", f"{FIRST}, right? Yes, {SECOND}")


def test_real_files(shared_data: Path) -> None:
    asked = questions("pawsx", shared_data, split="dev")
    assert {language: len(own.items) for language, own in asked.items()} == dict.fromkeys(
        ("de", "en", "zh"), 2000
    )
    assert [sum(i.gold for i in own.items) for own in asked.values()] == [831, 863, 853]
    assert asked["en"].items[1].solved == (
        "Kathy and her husband Pete Beale (Peter Dean) are stable financially, right? Yes, "
        "kathy and her husband Peter Dean (Pete Beale) are financially stable."
    )
    assert asked["zh"].items[1].continuations[0] == (
        "凯西和她的丈夫皮特·比尔（彼得·迪恩）经济状况稳定。, 对吧? 不是, "
        "凯西和她的丈夫彼得·迪恩（皮特·比尔）经济状况稳定。"
    )
