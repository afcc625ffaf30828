import json
from pathlib import Path

import pytest

from xalign.base.errors import DataError
from xalign.data.preferences import Preference, preferences_of


def written(folder: Path, *records: object) -> Path:
    (folder / "p.jsonl").write_text("".join(json.dumps(own) + "\n" for own in records))
    return folder / "p.jsonl"


def turn(content: str, role: str = "user") -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Hello?", "chosen": " Hallo.", "rejected": "Hi."},
        {"prompt": [turn("Hello?")], "chosen": [turn("Hallo.", "assistant")], "rejected": [turn("Hi.")]},
        {"chosen": [turn("Hello?"), turn("Hallo.")], "rejected": [turn("Hello?"), turn("Hi.")]},
    ],
)
def test_layouts(record: object, tmp_path: Path) -> None:
    same = {"prompt": "x", "chosen": "y", "rejected": "y"}
    assert preferences_of(written(tmp_path, record, same)) == [Preference("Hello?", "Hallo.", "Hi.")]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            [{"prompt": "x", "chosen": "y"}],
            r"line 1: must have prompt, chosen, rejected .*has: prompt, chosen",
        ),
        ([{"chosen": "y", "rejected": "z"}], "line 1: must have prompt"),
        ([{"prompt": "x", "chosen": "y", "rejected": "y"}], "holds no preference"),
    ],
)
def test_what_is_missing(records: list[object], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        preferences_of(written(tmp_path, *records))
