"""What holds of every layout: nasty text comes back as it was written, and no damage ends in a traceback."""

import random
import shutil
import time
from pathlib import Path

import pytest
import written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources import format_of, rows_of, texts_of

from xalign.base.errors import XalignError
from xalign.data.readers import READERS
from xalign.data.rows import UNREADABLE

PAIRS = [
    ("The sky is blue.", "Der Himmel ist blau."),
    ('A "quoted", text', "Ein Text; mit\u2028Zeichen é̂"),
] * 3
NASTY = "\u2028\u2029\x85\ufeff\u202e\u2067🏳️‍🌈é̂ผู้ أ\u200d\xa0\"',;|\\&<>]]&amp;%{}#"
# What a format cannot hold, or what its own rules say is not part of the text.
NOT_IN = {
    "lines": "\n\r",
    "tabs": "\n\r\t",
    "verses": "\n\r",
    "mo": "\x00\x04",
    "po": "\r",
}
XML = ("tmx", "xliff", "xliff2", "spreadsheet")


def texts(name: str) -> st.SearchStrategy[str]:
    """Sentences with what breaks readers in them; letters on both ends, which every format keeps."""
    letters = st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co"))
    others = st.sampled_from([c for c in NASTY + "\n\r\t\r\n" if c not in NOT_IN.get(name, "")])
    inner = st.text(st.one_of(letters, others), max_size=20)
    return inner.map(lambda text: f"a{text}z")


def test_every_reader_of_files_has_a_writer() -> None:
    assert {written_by(name) for name in written.WRITERS} == set(READERS.names()) - {"hub"}


def written_by(name: str) -> str:
    return written.FORMATS.get(name, name)


@pytest.mark.parametrize("name", written.WRITERS)
def test_the_layout_is_found_by_its_content(name: str, tmp_path: Path) -> None:
    path = written.WRITERS[name](tmp_path, PAIRS)
    assert format_of(path) == written_by(name)
    assert [own for own in texts_of(path, ["de"]) if own["en"] != "c"][:2] == [
        {"en": x, "de": y} for x, y in PAIRS[:2]
    ] or name == "mo"
    if path.is_file():  # found in its folder as well, beside what is no text
        (tmp_path / "README").write_text("x")
        assert len(rows_of(tmp_path, ["de"])) == len(rows_of(path, ["de"]))


@pytest.mark.parametrize("name", written.WRITERS)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,  # what CI finds, everybody finds
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_what_is_written_is_read(name: str, tmp_path: Path, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(texts(name), texts(name)), min_size=1, max_size=5))
    folder = tmp_path / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    read = [(own["en"], own["de"]) for own in texts_of(written.WRITERS[name](folder, pairs), ["de"])]
    if written_by(name) == "gettext":  # one translation a message
        assert dict(read) == dict(pairs) or set(read) <= set(pairs)
    else:
        assert [own for own in read if own != ("c", "c")] == pairs


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut, with bytes changed, doubled or taken out, or with nonsense in between."""
    kind, at = rng.randrange(6), rng.randrange(len(content) + 1)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + rng.randbytes(rng.randrange(1, 40)) + content[at:]
    if kind == 2:
        return content[:at] + content[at + rng.randrange(1, 40) :]
    if kind == 3:
        return content[:at] + content[rng.randrange(len(content)) :]
    if kind == 4:
        text = content.decode("utf-8", "ignore")
        return text.encode(rng.choice(["utf-16", "utf-32", "latin-1"]), "replace")
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def read_damaged(name: str, folder: Path, count: int, seed: int) -> None:
    """Read `count` damaged files of a layout: rows, or one message."""
    rng = random.Random(seed)
    good = folder / "good"
    good.mkdir()
    chosen = written.WRITERS[name](good, PAIRS)
    for number in range(count):
        bad = folder / "bad"
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(good, bad)
        path = rng.choice(sorted(bad.iterdir()))
        path.write_bytes(damaged(path.read_bytes(), rng))
        on_error = rng.choice(["stop", "skip"])
        started = time.monotonic()
        try:
            rows = rows_of(
                bad if chosen.is_dir() else bad / chosen.name,
                ["de"],
                on_error=on_error,
                format=written_by(name),
            )
        except XalignError as error:
            said = str(error)
            assert any(part in said for part in ("bad", chosen.name, "data.")), (number, said)
        else:
            assert all(row.message for row in rows if row.fault == UNREADABLE), number
        assert time.monotonic() - started < 10, number


@pytest.mark.parametrize("name", written.WRITERS)
def test_damage_is_a_message(name: str, tmp_path: Path) -> None:
    read_damaged(name, tmp_path, 60, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", written.WRITERS)
def test_damage_of_ten_thousand_kinds_is_a_message(name: str, tmp_path: Path) -> None:
    read_damaged(name, tmp_path, 10_000, seed=2)
