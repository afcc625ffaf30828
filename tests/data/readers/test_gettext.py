import zipfile
from pathlib import Path

import pytest

from xalign.config import DataConfig
from xalign.data.readers import gettext
from xalign.data.rows import Row
from xalign.errors import DataError

HEAD = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
GERMAN = (
    HEAD
    + """msgid "Save the page"
msgstr "Seite speichern"

#, fuzzy
msgid "Close the page"
msgstr "Seite öffnen"

msgid "%d item"
msgid_plural "%d items"
msgstr[0] "%d Eintrag"
msgstr[1] "%d Einträge"

msgid "Not translated yet"
msgstr ""

#~ msgid "An old message"
#~ msgstr "Eine alte Meldung"
"""
)
FRENCH = HEAD + 'msgid "Save the page"\nmsgstr "Enregistrer la page"\n'
ENGLISH = HEAD + 'msgid "Save the page"\nmsgstr "Save this page, please"\n'
FILES = {
    "app/locale/de_DE/LC_MESSAGES/app.po": GERMAN,
    "app/locale/fr/LC_MESSAGES/app.po": FRENCH,
    "app/locale/en_GB/LC_MESSAGES/app.po": ENGLISH,
    "app/locale/template/LC_MESSAGES/app.po": FRENCH,
    "app/locale/de/notes.po": "not a catalogue",
}


def wheel(folder: Path) -> Path:
    path = folder / "app-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    return path


def tree(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / name).write_text(text, encoding="utf-8")
    return folder / "tree"


def read(path: Path, languages: list[str]) -> list[Row]:
    return list(gettext.read(DataConfig(name="own", path=str(path)), languages))


@pytest.mark.parametrize("make", [wheel, tree])
def test_messages_become_many_way_rows(tmp_path: Path, make: type) -> None:
    path = make(tmp_path)
    source = "app-1.0" if make is wheel else "tree"
    texts = {"en": "Save the page", "de": "Seite speichern", "fr": "Enregistrer la page"}
    rows = read(path, [])
    assert [row for row in rows if row.fault is None] == [Row(source, texts)]
    assert {row.texts["en"]: row.fault for row in rows if row.fault} == {
        "Close the page": "fuzzy",
        "An old message": "obsolete",
    }
    assert read(path, ["en", "fr"]) == [Row(source, {"en": "Save the page", "fr": "Enregistrer la page"})]


def test_packages_come_from_the_artefacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wheel(tmp_path)
    monkeypatch.setattr("xalign.artifacts.package_file", {"app": path}.__getitem__)
    rows = list(gettext.read(DataConfig(name="own", packages=["app"]), ["en", "fr"]))
    assert [row.texts["fr"] for row in rows] == ["Enregistrer la page"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no gettext catalogues"):
        read(wheel(tmp_path), ["en", "sw"])
    broken = tmp_path / "x-1-py3-none-any.whl"
    broken.write_bytes(b"not a zip")
    with pytest.raises(DataError, match="not a wheel"):
        read(broken, [])
    path = tree(tmp_path)
    (path / "app/locale/fr/LC_MESSAGES/app.po").write_text(HEAD + 'msgid "a"\nrubbish\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"fr/LC_MESSAGES/app\.po.*line"):
        read(path, [])
