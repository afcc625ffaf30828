"""Imports run one way: a room uses the rooms above it in this list, and none below; no two use each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import xalign

PACKAGE = Path(xalign.__file__).parent
ROOMS = (
    "base",
    "config",
    "sources",
    "distributed",
    "data",
    "models",
    "objectives",
    "evaluation",
    "options",
    "performance",
    "workspace",
    "trials",
    "tracking",
    "training",
    "reporting",
    "cli",
    "runs",
    "sweeps",
    "",
)
"""From what is used by all to what uses all: the entry points, which are no folder."""


def room(module: str) -> str:
    """The room of `xalign.data.rows` is `data`."""
    name = module.split(".")[1] if "." in module else ""
    return name if (PACKAGE / name).is_dir() else ""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and module of every import of ours, also inside functions and for type checkers alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "xalign":
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if a.name.split(".")[0] == "xalign")


def against_the_order(path: Path) -> Iterator[str]:
    """The imports of a file that run back, as FILE:LINE."""
    relative = path.relative_to(PACKAGE)
    entry = len(relative.parts) == 1 or relative.name == "__main__.py"
    own = ROOMS.index("" if entry else relative.parts[0])
    for line, module in imports(path):
        if ROOMS.index(room(module)) > own:
            yield f"{relative}:{line} imports {module}"


def test_no_import_runs_back() -> None:
    assert [found for path in sorted(PACKAGE.rglob("*.py")) for found in against_the_order(path)] == []


def test_an_import_that_runs_back_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    for name in ("data", "training"):
        (tmp_path / name).mkdir()
    path = tmp_path / "data" / "rows.py"
    path.write_text("def late():\n    from xalign.training import fit\n    import xalign.data.step\n")
    assert list(against_the_order(path)) == ["data/rows.py:2 imports xalign.training.fit"]


def test_every_folder_is_a_room_that_says_what_it_is_for() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}
    assert {folder.name for folder in folders if folder.parent == PACKAGE} == set(ROOMS) - {""}
    for folder in folders:
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert said, folder
