"""Proves that a room imports only rooms on floors below its own, in every import: inside functions and for
typing too."""

import ast
from collections.abc import Iterator

import pytest

from engine.settings import PROJECT_DIR
from tests.helpers.floors import FLOOR_OF, module_of, room_of
from tests.helpers.source_files import imports, source_files

MODULES = {module_of(one) for one in source_files()}


def ours(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the module of every import of our own code in a file, wherever it stands."""
    module = module_of(path)
    package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
    for node, name in imports(ast.parse(text), package):
        if name in MODULES and room_of(name):
            yield node.lineno, name


def faults(path: str, text: str) -> list[str]:
    """Return the imports that run up or along a floor, in words with line numbers."""
    here = room_of(module_of(path)) or ""
    found = []
    for line, name in ours(path, text):
        there = room_of(name) or ""
        if there not in (here, "engine") and FLOOR_OF.get(there, 99) >= FLOOR_OF[here]:
            found.append(f"{path}:{line}: {here} imports {name}, which is not below it")
    return found


@pytest.mark.parametrize("path", source_files())
def test_imports_run_down_the_floors(path):
    assert faults(path, (PROJECT_DIR / path).read_text("utf-8")) == []


def test_every_room_has_a_floor():
    assert {room_of(module_of(path)) for path in source_files()} == set(FLOOR_OF)


def test_no_file_imports_itself_in_a_circle():
    graph = {
        module_of(path): {name for _, name in ours(path, (PROJECT_DIR / path).read_text("utf-8"))}
        for path in source_files()
    }
    while graph:
        free = {module for module, needs in graph.items() if not needs & set(graph) - {module}}
        assert free, f"these import each other in a circle, or lean on one: {sorted(graph)}"
        graph = {module: needs for module, needs in graph.items() if module not in free}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("engine/media/x.py", "from engine.models.base import Embedder"),
        ("engine/storage/x.py", "def f():\n    from engine.workspace import Workspace"),
        (
            "engine/maps/x.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from engine.ingest import files",
        ),
        ("engine/analysis/x.py", "import engine.models.base"),
        ("engine/jobs/x.py", "from ..cli import app"),
        ("pages/ui/map/x.py", "from pages.ui.library import draw"),
        ("pages/ui/x.py", "from pages.ui import cards"),
    ],
)
def test_the_floor_check_sees_a_fault(path, text):
    FLOOR_OF.setdefault("pages.ui.x", FLOOR_OF["pages.ui.frame"])
    try:
        assert faults(path, text)
    finally:
        del FLOOR_OF["pages.ui.x"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("engine/maps/x.py", "from engine.storage.data_folder import DataFolder\nfrom . import kept"),
        ("engine/cli/x.py", "def f():\n    from engine.workspace import Workspace"),
        ("pages/1_Search.py", "from pages.ui import cards, frame"),
    ],
)
def test_the_floor_check_lets_right_code_pass(path, text):
    assert faults(path, text) == []
