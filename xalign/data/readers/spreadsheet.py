"""Spreadsheets (Excel, LibreOffice), a column a language, named in the first row that has any text.

Their cells come from python-calamine (extra `spreadsheets`), which reads all kinds of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xalign.base.errors import ConfigError, DataError, did_you_mean, needs_extra
from xalign.data.readers.base import FileReader, ReaderConfig, Source
from xalign.data.readers.files import ending
from xalign.data.readers.records import Placed, are_parallel, rows_from_records
from xalign.data.rows import Row

Cells = Sequence[object]


class SpreadsheetReader(FileReader):
    """`pairs.xlsx`, `pairs.ods`: a column a language, named in the first row."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ReaderConfig):
        sheet: str | None = None
        """Name of the sheet; null: the first that has the languages in its header."""

    endings = ("xlsx", "xlsm", "xlsb", "xls", "ods")

    @classmethod
    def fits(cls, path: Path, source: Source) -> bool:
        try:
            return any(_suits(rows, source) for _, rows in _sheets(path))
        except (ConfigError, DataError):
            return ending(path) in cls.endings  # `read` says what is wrong

    def read(self, path: Path) -> Iterator[Row]:
        return rows_from_records(self._records(path), self.source, path.name, uniform=True)

    def _records(self, path: Path) -> Iterator[Placed]:
        assert isinstance(self.config, self.Config)
        sheets = dict(_sheets(path))
        name = self.config.sheet
        if name is None:
            name = next(
                (own for own, rows in sheets.items() if _suits(rows, self.source)), next(iter(sheets), "")
            )
        if name not in sheets:
            known = ", ".join(sheets) or "none"
            hint = did_you_mean(name, sheets)
            raise ConfigError(
                [f"data.options.sheet={name}: '{path}' has no such sheet (it has: {known}){hint}"]
            )
        rows = iter(sheets[name])
        header: list[str] | None = None
        for number, cells in enumerate(rows, start=1):
            if not any(cell not in ("", None) for cell in cells):
                continue
            texts = [_text(cell) for cell in cells]
            if header is None:
                header = [text or "" for text in texts]
            else:
                yield f"'{path}', sheet '{name}', row {number}", dict(zip(header, texts, strict=False))


READER = SpreadsheetReader


def _sheets(path: Path) -> Iterator[tuple[str, Sequence[Cells]]]:
    try:
        import python_calamine as calamine
    except ImportError:
        raise ConfigError([needs_extra(f"data.path={path}", "spreadsheets")]) from None
    try:
        book: Any = calamine.CalamineWorkbook.from_path(str(path))
        for name in book.sheet_names:
            # Rows begin with the first that is used unless empty ones are kept: numbers would be wrong.
            yield name, book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise DataError(f"'{path}' is not a spreadsheet, or is damaged or encrypted: {error}") from None


def _suits(rows: Sequence[Cells], source: Source) -> bool:
    header = next((cells for cells in rows if any(cell not in ("", None) for cell in cells)), [])
    return are_parallel([dict.fromkeys(str(cell) for cell in header)], source)


def _text(cell: object) -> str | None:
    """A cell as it is shown; numbers without a fraction have none."""
    if cell == "" or cell is None:
        return None
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
