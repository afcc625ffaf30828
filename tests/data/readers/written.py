"""Files in every layout of parallel text, as other programs write them."""

import csv
import io
import json
import sqlite3
import struct
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from xml.sax.saxutils import escape

import polib

Pairs = Sequence[tuple[str, str]]


def lines(folder: Path, pairs: Pairs) -> Path:
    for code, texts in zip(("en", "de"), zip(*pairs, strict=True), strict=True):
        (folder / f"train.{code}").write_bytes("".join(t + "\n" for t in texts).encode())
    return folder


def table(folder: Path, pairs: Pairs) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([("en", "de"), *pairs])
    (folder / "p.csv").write_bytes(text.getvalue().encode())
    return folder / "p.csv"


def tabs(folder: Path, pairs: Pairs) -> Path:
    (folder / "p.tsv").write_bytes("".join(f"{x}\t{y}\n" for x, y in [("en", "de"), *pairs]).encode())
    return folder / "p.tsv"


def jsonl(folder: Path, pairs: Pairs) -> Path:
    written = [json.dumps({"en": x, "de": y}, ensure_ascii=n % 2 == 0) for n, (x, y) in enumerate(pairs)]
    (folder / "p.jsonl").write_bytes("\n".join(written).encode())
    return folder / "p.jsonl"


def array(folder: Path, pairs: Pairs) -> Path:
    written = json.dumps([{"translation": {"en": x, "de": y}} for x, y in pairs], ensure_ascii=False)
    (folder / "p.json").write_bytes(written.encode())
    return folder / "p.json"


def tmx(folder: Path, pairs: Pairs) -> Path:
    units = "".join(
        f'<tu><prop type="x">y</prop><tuv xml:lang="en-US"><seg>{_xml(x)}</seg></tuv>'
        f'<tuv xml:lang="DE"><seg>{_xml(y)}</seg></tuv></tu>\n'
        for x, y in pairs
    )
    text = f'<?xml version="1.0"?>\n<tmx version="1.4"><header/><body>{units}</body></tmx>'
    (folder / "p.tmx").write_bytes(text.encode())
    return folder / "p.tmx"


def xliff(folder: Path, pairs: Pairs) -> Path:
    units = "".join(
        f'<trans-unit id="{n}"><source>{_xml(x)}</source><target>{_xml(y)}</target></trans-unit>\n'
        for n, (x, y) in enumerate(pairs)
    )
    head = '<xliff xmlns="urn:oasis:names:tc:xliff:document:1.2" version="1.2">'
    languages = '<file source-language="en" target-language="de" original="x" datatype="plaintext">'
    text = f"{head}{languages}<body>{units}</body></file></xliff>"
    (folder / "p.xlf").write_bytes(text.encode())
    return folder / "p.xlf"


def xliff2(folder: Path, pairs: Pairs) -> Path:
    units = "".join(
        f'<unit id="{n}"><segment><source>{_xml(x)}</source><target>{_xml(y)}</target></segment></unit>\n'
        for n, (x, y) in enumerate(pairs)
    )
    head = '<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="de">'
    (folder / "p.xliff").write_bytes(f'{head}<file id="f">{units}</file></xliff>'.encode())
    return folder / "p.xliff"


def parquet(folder: Path, pairs: Pairs) -> Path:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(_table(pa, pairs), folder / "p.parquet")
    return folder / "p.parquet"


def arrow(folder: Path, pairs: Pairs) -> Path:
    import pyarrow as pa

    with (
        pa.OSFile(str(folder / "p.arrow"), "wb") as file,
        pa.ipc.new_stream(file, _table(pa, pairs).schema) as writer,
    ):
        writer.write_table(_table(pa, pairs), max_chunksize=3)
    return folder / "p.arrow"


def _table(pa, pairs: Pairs):  # type: ignore[no-untyped-def]
    return pa.table({"en": [x for x, _ in pairs], "de": [y for _, y in pairs]})


def spreadsheet(folder: Path, pairs: Pairs) -> Path:
    rows = "".join(
        f'<row r="{r}">'
        + "".join(
            f'<c r="{c}{r}" t="inlineStr"><is><t xml:space="preserve">{_xml(t)}</t></is></c>'
            for c, t in zip("AB", own, strict=True)
        )
        + "</row>"
        for r, own in enumerate([("en", "de"), *pairs], start=1)
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="Pairs" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(folder / "p.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + text)
    return folder / "p.xlsx"


def sqlite(folder: Path, pairs: Pairs) -> Path:
    (folder / "p.db").unlink(missing_ok=True)
    with closing(sqlite3.connect(folder / "p.db")) as database:
        database.execute("CREATE TABLE pairs (nr INTEGER, en TEXT, de TEXT)")
        database.executemany("INSERT INTO pairs VALUES (?, ?, ?)", [(n, *own) for n, own in enumerate(pairs)])
        database.commit()
    return folder / "p.db"


def catalogue(folder: Path, pairs: Pairs) -> polib.POFile:
    made = polib.POFile()
    made.metadata = {"Content-Type": "text/plain; charset=utf-8", "Language": "de"}
    made.extend(polib.POEntry(msgid=x, msgstr=y) for x, y in pairs)
    return made


def po(folder: Path, pairs: Pairs) -> Path:
    catalogue(folder, pairs).save(str(folder / "de.po"))
    return folder / "de.po"


def mo(folder: Path, pairs: Pairs) -> Path:
    """As `msgfmt` lays it out: sorted by message, in the order of this machine's bytes."""
    head = "Content-Type: text/plain; charset=utf-8\nLanguage: de\n"
    entries = sorted((x.encode(), y.encode()) for x, y in [("", head), *dict(pairs).items()])
    count, start = len(entries), 28
    place = start + 16 * count
    tables: list[bytes] = []
    texts = b""
    for side in (0, 1):
        for own in entries:
            tables.append(struct.pack("=II", len(own[side]), place + len(texts)))
            texts += own[side] + b"\0"
    numbers = struct.pack("=IIIIIII", 0x950412DE, 0, count, start, start + 8 * count, 0, place)
    (folder / "de.mo").write_bytes(numbers + b"".join(tables) + texts)
    return folder / "de.mo"


def verses(folder: Path, pairs: Pairs) -> Path:
    for code, texts in zip(("eng", "deu"), zip(*pairs, strict=True), strict=True):
        text = "".join(f"{40001001 + n}\t{own}\n" for n, own in enumerate(texts))
        (folder / f"{code}-x-bible.txt").write_bytes(f"# a comment\n{text}".encode())
    return folder


def squad(folder: Path, pairs: Pairs) -> Path:
    for side, code in enumerate(("en", "de")):
        asked = [{"question": own[side], "id": str(n), "answers": []} for n, own in enumerate(pairs)]
        data = {"data": [{"title": "t", "paragraphs": [{"context": "c", "qas": asked}]}]}
        (folder / f"xquad.{code}.json").write_text(json.dumps(data))
    return folder


def _xml(text: str) -> str:
    return escape(text).replace("\r", "&#13;")


WRITERS: dict[str, Callable[[Path, Pairs], Path]] = {
    own.__name__: own
    for own in (
        *(lines, table, tabs, jsonl, array, tmx, xliff, xliff2, parquet, arrow, spreadsheet, sqlite),
        *(po, mo, verses, squad),
    )
}
FORMATS = {
    "tabs": "table",
    "array": "jsonl",
    "xliff2": "xliff",
    "parquet": "arrow",
    "po": "gettext",
    "mo": "gettext",
}
"""Writer -> reader, where their names differ."""
