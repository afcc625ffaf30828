"""Translation memories and localisation files."""

import gzip
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from sources import rows_of, rows_with, texts_of

from xalign.base.errors import DataError
from xalign.config.text import DataConfig
from xalign.data.readers.base import ReaderConfig, Source
from xalign.data.readers.tmx import TmxReader
from xalign.data.rows import UNREADABLE

TMX = """<?xml version="1.0" encoding="{encoding}"?>
<!DOCTYPE tmx SYSTEM "http://no.where/tmx14.dtd">
<tmx version="1.4"><header srclang="en"/><body>
{units}
</body></tmx>"""
UNIT = '<tu><tuv xml:lang="{0}"><seg>{1}</seg></tuv><tuv xml:lang="{2}"><seg>{3}</seg></tuv></tu>'


def memory(folder: Path, *units: str, encoding: str = "utf-8", name: str = "m.tmx") -> Path:
    content = TMX.format(encoding=encoding, units="\n".join(units)).encode(encoding)
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder / name


def test_codes_of_the_program_are_no_text(tmp_path: Path) -> None:
    seg = 'Press <bpt i="1">&lt;b></bpt>the <hi>red</hi> <ph>{0}</ph>key<ept i="1">&lt;/b></ept>.<!-- no -->'
    assert texts_of(memory(tmp_path, UNIT.format("en", seg, "de", "x"))) == [
        {"en": "Press the red key.", "de": "x"}
    ]


def test_a_unit_has_any_number_of_languages(tmp_path: Path) -> None:
    unit = "".join(
        f"<tuv {lang}><prop>p</prop><seg>{text}</seg></tuv>"
        for lang, text in [
            ('xml:lang="EN-GB"', "colour"),
            ('xml:lang="en-US"', "color"),
            ('lang="de_DE"', "Farbe"),
            ('xml:lang="zh-TW"', "顏色"),
            ('xml:lang="xx-nonsense"', "?"),
            ('xml:lang="fr"', ""),
        ]
    )
    path = memory(tmp_path, f"<tu>{unit}</tu>")
    assert texts_of(path) == [{"en": "colour", "de": "Farbe", "zh-Hant": "顏色"}]
    assert texts_of(path, ["de"]) == [{"en": "colour", "de": "Farbe"}]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8", "iso-8859-1"])
def test_the_declared_encoding_counts(encoding: str, tmp_path: Path) -> None:
    unit = UNIT.format("en", "a", "de", "für")
    for name in ("m.tmx", "m.TMX.gz", "m.xml"):
        assert texts_of(memory(tmp_path, unit, encoding=encoding, name=name)) == [{"en": "a", "de": "für"}]


def test_all_memories_of_a_folder_are_read(tmp_path: Path) -> None:
    memory(tmp_path, UNIT.format("en", "a", "de", "b"), name="1.tmx")
    memory(tmp_path, UNIT.format("en", "c", "fr", "d"), name="2.tmx")
    assert texts_of(tmp_path) == [{"en": "a", "de": "b"}, {"en": "c", "fr": "d"}]


def test_damage_is_placed_and_what_comes_before_kept(tmp_path: Path) -> None:
    path = memory(tmp_path, UNIT.format("en", "a", "de", "b"), UNIT.format("en", "c", "de", "d") + "</bo>")
    with pytest.raises(DataError, match=r"m.tmx', line 5: not XML: .*mismatch"):
        rows_of(path)
    *good, bad = rows_of(path, on_error="skip")
    assert [row.texts["en"] for row in good] == ["a", "c"]
    assert bad.fault == UNREADABLE
    assert "line 5" in bad.message


BOMB = '<!DOCTYPE tmx [<!ENTITY a0 "ha">{}]>'.format(
    "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
)
FILE = '<!DOCTYPE tmx [<!ENTITY a11 SYSTEM "file:///etc/passwd">]>'


def with_entities(folder: Path, entities: str) -> Path:
    body = UNIT.format("en", "a&a11;b", "de", "&a11;c")
    (folder / "m.tmx").write_text(f'<?xml version="1.0"?>{entities}<tmx><body>{body}</body></tmx>')
    return folder / "m.tmx"


def test_files_are_not_fetched_for_entities(tmp_path: Path) -> None:
    assert texts_of(with_entities(tmp_path, FILE)) == [{"en": "ab", "de": "c"}]


def test_entities_do_not_become_gigabytes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1: not XML: Maximum entity amplification"):
        texts_of(with_entities(tmp_path, BOMB))


def test_memory_is_flat(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = memory(tmp_path, *[UNIT.format("en", "word " * 20, "de", "Wort " * 20)] * count)
        tracemalloc.start()
        for _ in TmxReader(Source(DataConfig(name="x", path=str(path)), "en"), ReaderConfig()).rows():
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(8000) < 1.5 * peak(800) + 100_000


def by_hand(path: Path) -> Iterator[tuple[str, str]]:
    """English and French of TICO-19, read by nothing of ours."""
    for unit in etree.parse(path).iter("tu"):
        segments = {
            own.get("{http://www.w3.org/XML/1998/namespace}lang"): own.findtext("seg")
            for own in unit.iter("tuv")
        }
        yield segments["en"], segments["fr"]


def test_a_real_memory(shared_data: Path) -> None:
    path = shared_data / "tico19" / "all.en-fr.tmx"
    rows = rows_with(DataConfig(name="tico", path=str(path)))
    assert [(row.texts["en"], row.texts["fr"]) for row in rows] == list(by_hand(path))
    assert len(rows) == 3071


XLIFF = """<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
<file source-language="en" target-language="de-DE" original="a" datatype="plaintext"><body><group>
<trans-unit id="1"><source>One <x id="1"/><g id="2">two</g></source><target>Eins <x id="1"/>zwei</target>
  <alt-trans><target>no</target></alt-trans></trans-unit>
<trans-unit id="2" approved="no"><source>b</source><target>b2</target></trans-unit>
<trans-unit id="3"><source>c</source><target state="needs-translation">c2</target></trans-unit>
<trans-unit id="4"><source>d</source></trans-unit>
<trans-unit id="5" translate="no"><source>e</source><target>e2</target></trans-unit>
<trans-unit id="6"><source>f</source><target state="needs-review-translation">f2</target></trans-unit>
</group></body></file>
<file source-language="en" target-language="fr" original="b" datatype="plaintext"><body>
<trans-unit id="1"><source>g</source><target state="final">h</target></trans-unit></body></file></xliff>"""


def test_states_of_translation(tmp_path: Path) -> None:
    (tmp_path / "m.xlf").write_text(XLIFF)
    rows = rows_of(tmp_path / "m.xlf")
    assert [row.fault for row in rows] == [
        *(None, "not approved", "not translated", "not translated", "not to be translated", "not approved"),
        None,
    ]
    assert rows[0].texts == {"en": "One two", "de": "Eins zwei"}
    assert rows[-1].texts == {"en": "g", "fr": "h"}


def test_one_language_a_file(tmp_path: Path) -> None:
    for code in ("de", "fr"):
        (tmp_path / f"messages.{code}.xliff").write_text(
            '<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en-US" '
            f'trgLang="{code}"><file id="f"><unit id="1"><notes><note>n</note></notes>'
            f'<segment state="final"><source>a<ph id="1"/></source><target>{code} <pc id="2">b</pc></target>'
            '</segment><ignorable><source> </source></ignorable><segment state="initial"><source>c</source>'
            "<target/></segment></unit></file></xliff>"
        )
    rows = rows_of(tmp_path)
    assert [row.texts for row in rows if not row.fault] == [
        {"en": "a", "de": "de b"},
        {"en": "a", "fr": "fr b"},
    ]
    assert [row.fault for row in rows if row.fault] == ["not translated"] * 2
