"""A package of somebody else's with a part for xalign, as pip would leave it."""

import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from xalign.base import registry


def installed(
    folder: Path, group: str, name: str, target: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Install a package of one module, whose text is `module`, with one entry point, `name = target`."""
    package = target.partition(":")[0]
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    title = package.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {title}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    (folder / f"{package}.py").write_text(module)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, package, raising=False)
    registry._loaded.cache_clear()
    monkeypatch.setattr(
        registry, "_entry_points", lambda group: {p.name: p for p in entry_points(group=group)}
    )
