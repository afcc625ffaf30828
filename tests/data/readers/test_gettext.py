import gzip
import zipfile
from pathlib import Path

import pytest
from sources import rows_of, texts_of

from xalign.base.errors import DataError
from xalign.data.rows import Row

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


@pytest.mark.parametrize("make", [wheel, tree])
def test_messages_become_many_way_rows(tmp_path: Path, make: type) -> None:
    path = make(tmp_path)
    source = "app-1.0" if make is wheel else "tree"
    texts = {"en": "Save the page", "de": "Seite speichern", "fr": "Enregistrer la page"}
    rows = rows_of(path, [])
    assert [row for row in rows if row.fault is None] == [Row(source, texts)]
    assert {row.texts["en"]: row.fault for row in rows if row.fault} == {
        "Close the page": "fuzzy",
        "An old message": "obsolete",
    }
    assert rows_of(path, ["fr"]) == [Row(source, {"en": "Save the page", "fr": "Enregistrer la page"})]


def test_packages_come_from_the_artefacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wheel(tmp_path)
    monkeypatch.setattr("xalign.sources.artifacts.package_files", lambda names: dict.fromkeys(names, path))
    rows = rows_of(None, ["fr"], packages=["django"])
    assert [row.texts["fr"] for row in rows] == ["Enregistrer la page"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no gettext catalogues"):
        rows_of(wheel(tmp_path), ["sw"])
    broken = tmp_path / "x-1-py3-none-any.whl"
    broken.write_bytes(b"not a zip")
    with pytest.raises(DataError, match="not a wheel"):
        rows_of(broken, [])
    path = tree(tmp_path)
    (path / "app/locale/fr/LC_MESSAGES/app.po").write_text(HEAD + 'msgid "a"\nrubbish\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"fr/LC_MESSAGES/app\.po.*line"):
        rows_of(path, [])


def catalogue(msgstr: str, charset: str = "UTF-8", language: str = "") -> bytes:
    head = (
        f'msgid ""\nmsgstr ""\n"Language: {language}\\n"\n"Content-Type: text/plain; charset={charset}\\n"\n'
    )
    encoding = "utf-8" if charset == "CHARSET" else charset
    return (head + f'\nmsgid "Save the page"\nmsgstr "{msgstr}"\n').encode(encoding)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
@pytest.mark.parametrize("packed", [True, False])
def test_only_newlines_end_a_line(tmp_path: Path, separator: str, packed: bool) -> None:
    content = catalogue(f"Seite{separator}speichern").replace(b"\n", b"\r\n")
    name = "locale/de/LC_MESSAGES/x.po"
    path = tmp_path / "x-1.0-py3-none-any.whl"
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, content)
    else:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(content)
    assert texts_of(tmp_path) == [{"en": "Save the page", "de": f"Seite{separator}speichern"}]


@pytest.mark.parametrize("charset", ["ISO-8859-1", "iso-8859-15", "CP1252", "utf-8", "CHARSET"])
def test_the_charset_that_is_declared_counts(tmp_path: Path, charset: str) -> None:
    (tmp_path / "de.po").write_bytes(catalogue("Schließen", charset))
    assert texts_of(tmp_path / "de.po")[0]["de"] == "Schließen"


def test_a_mark_of_utf_8_counts_more(tmp_path: Path) -> None:
    (tmp_path / "de.po").write_bytes(
        b"\xef\xbb\xbf" + catalogue("Schließen").replace(b"UTF-8", b"ISO-8859-1")
    )
    assert texts_of(tmp_path)[0]["de"] == "Schließen"


def test_bytes_that_are_not_of_the_charset_are_placed(tmp_path: Path) -> None:
    (tmp_path / "de.po").write_bytes(catalogue("Schließen", "ISO-8859-1").replace(b"ISO-8859-1", b"US-ASCII"))
    with pytest.raises(
        DataError, match=r"de\.po', line 7: byte 0xdf is not US-ASCII, which its header declares"
    ):
        rows_of(tmp_path)
    (tmp_path / "de.po").write_bytes(catalogue("Schliessen").replace(b"UTF-8", b"KOI-9"))
    with pytest.raises(DataError, match="its header declares the charset 'KOI-9', which is not known"):
        rows_of(tmp_path)


LAYOUTS = {
    "po": ("po/de.po", "po/fr.po", "po/app.pot"),
    "named": ("app.de.po", "app.fr.po"),
    "folders": ("de/app.po", "fr/web.po"),
    "regions": ("po/de_AT.po", "po/fr_FR.PO"),
    "installed": ("locale/de/LC_MESSAGES/app.po", "locale/fr/LC_MESSAGES/app.po", "docs/it.po"),
    "packed": ("de.po.gz", "fr.po.gz"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_usual_layouts_are_found(tmp_path: Path, layout: str) -> None:
    for name in LAYOUTS[layout]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        content = catalogue("Seite speichern")
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    texts = {"en": "Save the page", "de": "Seite speichern", "fr": "Seite speichern"}
    assert texts_of(tmp_path) == [texts]
    assert texts_of(tmp_path / LAYOUTS[layout][0]) == [{c: texts[c] for c in ("en", "de")}]


def test_a_header_tells_the_language_where_no_name_does(tmp_path: Path) -> None:
    for name, language in (("plugin-de_DE.po", "de_DE"), ("app.po", "fr"), ("kab.po", "")):
        (tmp_path / name).write_bytes(catalogue(f"in {language}", language=language))
    assert texts_of(tmp_path) == [{"en": "Save the page", "de": "in de_DE", "fr": "in fr", "kab": "in "}]
