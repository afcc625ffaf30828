from pathlib import Path

import pytest

from xalign.base.errors import DataError
from xalign.base.files import checked, read_json, write_atomically


def test_writes_text_and_pieces_and_makes_the_folder(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "a.txt", "äé\n")
    write_atomically(tmp_path / "new" / "b.txt", (letter for letter in "xyz"))
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "äé\n"
    assert (tmp_path / "new" / "b.txt").read_text(encoding="utf-8") == "xyz"


def test_interrupted_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "old")

    def pieces() -> object:
        yield "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, pieces())  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_errors_name_file_line_row_and_field(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{\n"a": 1,\n}')
    with pytest.raises(DataError, match=r"a\.json, line 3: not valid JSON"):
        read_json(path)
    path.write_bytes(b"ab\xff")
    with pytest.raises(DataError, match=r"a\.json: not UTF-8 text \(byte 2\)"):
        read_json(path)
    with pytest.raises(DataError, match=r"here, row 2, 'n': Input should be a valid integer.*, not 'x'"):
        checked(list[dict[str, int]], [{"n": 1}, {"n": "x"}], "here")
