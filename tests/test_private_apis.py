"""Private parts of libraries: each use says why it is needed, and has a test that breaks when it changes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import xalign

PACKAGE = Path(xalign.__file__).parent
TESTS = Path(__file__).parent
PUBLIC = {"_replace", "_asdict", "_fields", "_exit"}
"""Of named tuples and `os`: documented, whatever their first letter."""
USES = {
    ("run.py", "hydra._internal.utils"): "test_run.py",
    ("analyze.py", "hydra._internal.utils"): "test_analyze.py",
    ("cli/command_line.py", "hydra._internal.utils"): "test_config.py",
    ("sweeps/plan.py", "hydra._internal.utils"): "sweeps/test_sweep.py",
    ("data/readers/xml.py", "_Element"): "data/readers/test_xml.py",
    ("tracking/workspace.py", "_to_model"): "runs/test_tracking.py",
    ("options/store.py", "_get_node"): "test_config.py",
    ("options/store.py", "_is_none"): "test_config.py",
    (
        "evaluation/engine/translation_scores.py",
        "_extract_corpus_statistics",
    ): "evaluation/tasks/test_translation.py",
    (
        "evaluation/engine/translation_scores.py",
        "_compute_score_from_stats",
    ): "evaluation/tasks/test_translation.py",
    ("training/callbacks/trial_pruning.py", "_trial_id"): "sweeps/test_trial_pruning.py",
    ("training/gradients.py", "_values"): "training/test_gradients.py",
    ("training/optimizer.py", "_AdamW"): "training/test_low_weights.py",
    ("performance/automatic.py", "_is_avx512_bf16_supported"): "performance/test_automatic.py",
    ("performance/automatic.py", "_is_amx_tile_supported"): "performance/test_automatic.py",
    ("models/decoder.py", "_modules"): "models/test_backbone.py",
    ("models/head.py", "_modules"): "models/test_form.py",
    ("models/gguf/reading.py", "_get_field_parts"): "models/gguf/test_reading.py",
    ("models/gguf/reading.py", "_mapped"): "models/gguf/test_reading.py",
    ("models/export.py", "_keys_to_ignore_on_save"): "models/test_export.py",
    ("models/rounding.py", "_version"): "models/test_backbone.py",
    ("models/adapters/lora.py", "_register_custom_module"): "models/test_backbone.py",
}
"""(file, what is used) -> the test that would fail."""


def own_names() -> set[str]:
    """Private names that this package gives to anything of its own."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {t.id for t in targets if isinstance(t, ast.Name)}
    return found


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def uses(path: Path, ours: set[str]) -> Iterator[tuple[int, str]]:
    """Line and name of each private part of a library that a file uses."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("xalign"):
            if any(private(part) for part in (node.module or "").split(".")):
                yield node.lineno, str(node.module)
            yield from ((node.lineno, alias.name) for alias in node.names if private(alias.name))
        elif isinstance(node, ast.Attribute) and private(node.attr) and node.attr not in ours:
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            yield from () if own else [(node.lineno, node.attr)]


def test_every_use_is_known_and_says_why() -> None:
    # Some of ours are called like one of theirs.
    ours, found = own_names() - {name for _, name in USES}, set()
    for path in PACKAGE.rglob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        for line, name in uses(path, ours):
            place = str(path.relative_to(PACKAGE))
            found.add((place, name))
            assert any("#" in own for own in lines[max(0, line - 8) : line]), (
                f"{place}:{line} does not say why"
            )
    assert found == USES.keys()


def test_each_has_a_test_that_would_fail() -> None:
    for test in set(USES.values()):
        assert "def test_" in (TESTS / test).read_text(encoding="utf-8"), test
