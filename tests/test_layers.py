"""Proves the one-way imports, the single owners and the quick start, by reading every source file."""

import ast
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.settings import PROJECT_DIR
from tests.helpers.source_files import imports, source_files

HEAVY = {"torch", "transformers", "sentence_transformers", "chromadb", "umap", "plotly", "onnxruntime"}
MODEL_LIBRARIES = {"torch", "sentence_transformers", "transformers", "onnxruntime", "tokenizers"}
# library -> the only file (or folder, with a slash at its end; or files) that may import it
OWNERS = {
    **dict.fromkeys(MODEL_LIBRARIES, "engine/models/"),
    "chromadb": ("engine/storage/chroma.py", "engine/storage/chroma_folder.py"),
    "sqlite3": "engine/storage/",
    "umap": "engine/maps/umap_kernels.py",
    "py3langid": "engine/search/language.py",
    "plotly": "engine/figures/",
    "ray": "engine/ingest/ray/",
    "pyarrow": (
        "engine/media/arrow.py",
        "engine/vector_files/",
        "engine/datasets/",
        "engine/ingest/ray/",
        "engine/maps/selection_export.py",
        "engine/cli/maps.py",
    ),
    "typer": "engine/cli/",
}
# What runs beside everything else is begun by the one background; a pool that ends with its call is none,
# nor is what a child process, Ray and the probe of a hub need.
THREADS = ("engine/background.py", "engine/ingest/ray/line.py", "engine/models/hub/")
# A module of pages/ui/ draws; what does not is in the wrong house, unless it is words or colours.
NO_DRAWING = {
    "pages/ui/gap/lessons/catalog.py",
    "pages/ui/gap/lessons/lesson.py",
    "pages/ui/gap/lessons/words.py",
    "pages/ui/gap/shown.py",
    "pages/ui/map/paint.py",
    "pages/ui/map/sentences.py",
    "pages/ui/models/wording.py",
    "pages/ui/rerank/wording.py",
}
# How a text begins that is a query: those belong to the ledger.
SQL = re.compile(r"\s*(SELECT|INSERT|REPLACE|DELETE|UPDATE|CREATE|ALTER|DROP|WITH|PRAGMA|BEGIN)\s")
# The second is a program of its own, which tells the process that started it how far it is.
STANDARD_OUTPUT = ("engine/cli/", "engine/models/pocket/convert.py")
# What the names end in that `word_faults` looks at: to write out all the others would take seconds.
TOLD = {
    "environ",
    "getenv",
    "environb",
    "cache_resource",
    "cache_data",
    "plotly_chart",
    "stdout",
    "Thread",
    "print",
}


def outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run on import; `if TYPE_CHECKING:` does not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield other
                yield from outside_functions(other)
            continue
        yield node
        yield from outside_functions(node)


def within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def owned(path: str, owners: str | tuple[str, ...]) -> bool:
    owners = (owners,) if isinstance(owners, str) else owners
    return any(path.startswith(one) if one.endswith("/") else path == one for one in owners)


def for_typing(tree: ast.AST) -> set[ast.AST]:
    """Return the nodes below `if TYPE_CHECKING:`, which never run."""
    blocks = [
        n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")
    ]
    return {node for block in blocks for statement in block.body for node in ast.walk(statement)}


def layer_faults(path: str, text: str) -> list[str]:
    """Return what breaks the rules in one file, in words with line numbers."""
    tree = ast.parse(text)
    package = ".".join(Path(path).parent.parts)
    unrun, faults = for_typing(tree), []

    def fault(node: ast.AST, words: str) -> None:
        faults.append(f"{path}:{node.lineno}: {words}")

    for node, name in imports(tree, package):
        root = name.split(".")[0]
        if path.startswith("engine/") and root in ("streamlit", "pages", "ui", "streamlit_app"):
            fault(node, f"engine imports {name}")
        inside_ui = within(name, "pages.ui") or name == "pages"
        if path.startswith("pages/") and ((root == "pages" and not inside_ui) or root == "streamlit_app"):
            fault(node, f"a page imports {name}")
        owners = OWNERS.get(root)
        if owners and not owned(path, owners) and node not in unrun:
            fault(node, f"only {owners} imports {root}")
    for node in outside_functions(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {name.split(".")[0] for _, name in imports(ast.Module([node], []), package)}
            if names & HEAVY:
                fault(node, f"imports {', '.join(names & HEAVY)} when it is imported")
    return faults


def last(called: ast.expr) -> str:
    """Return the last name of what is called, "Thread" of threading.Thread."""
    return str(getattr(called, "attr", getattr(called, "id", "")))


def word_faults(path: str, text: str) -> list[str]:
    """Return uses of the environment, the caches, print, broad excepts and SQL where they are not allowed."""
    faults = []
    for node in ast.walk(ast.parse(text)):
        words = ""
        dotted = ast.unparse(node) if isinstance(node, ast.Attribute) and node.attr in TOLD else ""
        called = ast.unparse(node.func) if isinstance(node, ast.Call) and last(node.func) in TOLD else ""
        names = {a.name for a in node.names} if isinstance(node, ast.ImportFrom) else set()
        from_os = isinstance(node, ast.ImportFrom) and node.module == "os"
        if dotted in ("os.environ", "os.getenv", "os.environb") or (
            from_os and names & {"environ", "getenv", "environb"}
        ):
            words = "reads the environment" if path != "engine/settings.py" else ""
        elif dotted.endswith((".cache_resource", ".cache_data")) or names & {"cache_resource", "cache_data"}:
            words = "uses Streamlit's caches" if path != "pages/ui/resources.py" else ""
        elif dotted.endswith(".plotly_chart"):
            words = "draws a figure that cannot be taken away" if path != "pages/ui/figure.py" else ""
        elif path.startswith("engine/") and dotted == "sys.stdout":
            words = "" if path.startswith(STANDARD_OUTPUT) else "writes to standard output"
        elif called in ("threading.Thread", "Thread"):
            words = "starts a thread" if not path.startswith(THREADS) else ""
        elif path.startswith("engine/") and called == "print":
            words = "prints"
        elif path.startswith("engine/") and isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type).strip("()").split(", ") if node.type else ["everything"]
            broad = {"everything", "Exception", "BaseException"} & {one.split(".")[-1] for one in caught}
            broad = set() if ast.unparse(node.body[-1]) == "raise" else broad  # tidying up hides nothing
            words = f"catches {', '.join(broad)}" if broad else ""
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
            words = "" if path.startswith("engine/storage/") else "holds SQL"
        if words:
            faults.append(f"{path}:{node.lineno}: {words}")
    return faults


@pytest.mark.parametrize("path", source_files())
def test_imports_flow_one_way_and_have_one_owner(path):
    assert layer_faults(path, (PROJECT_DIR / path).read_text("utf-8")) == []


@pytest.mark.parametrize("path", source_files())
def test_only_settings_reads_the_environment_and_nothing_prints_or_catches_all(path):
    assert word_faults(path, (PROJECT_DIR / path).read_text("utf-8")) == []


def test_a_module_of_the_pages_draws_or_is_words_or_colours_or_the_form_of_a_lesson():
    silent = set()
    for path in source_files():
        names = {name for _, name in imports(ast.parse((PROJECT_DIR / path).read_text("utf-8")), "")}
        if path.startswith("pages/ui/") and "streamlit" not in names:
            silent.add(path)
    assert silent == NO_DRAWING


def test_all_files_are_looked_at():
    assert {"engine/settings.py", "engine/models/pocket/text.py", "engine/__main__.py"} <= set(source_files())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("engine/x.py", "import streamlit as st"),
        ("engine/x.py", "def f():\n    from streamlit import write"),
        ("engine/x.py", "from pages.ui import resources"),
        ("engine/media/x.py", "import chromadb"),
        ("engine/evaluation/x.py", "import sqlite3"),
        ("engine/storage/chroma_rows.py", "def f():\n    import chromadb"),
        ("engine/x.py", "def f():\n    import chromadb.config"),
        ("engine/x.py", "def f():\n    from torch import nn"),
        ("engine/models/x.py", "import torch"),
        ("engine/models/x.py", "class A:\n    import torch"),
        ("engine/models/x.py", "try:\n    import onnxruntime\nexcept ImportError:\n    pass"),
        ("engine/models/x.py", "if True:\n    from transformers import BertModel"),
        ("engine/x.py", "from tokenizers import Tokenizer"),
        ("engine/ingest/x.py", "import typer"),
        ("engine/storage/chroma.py", "from chromadb import Client"),
        ("engine/figures/heat_map.py", "import plotly.express as px"),
        ("pages/1_x.py", "def f():\n    import plotly"),
        ("pages/1_x.py", "def f():\n    import umap"),
        ("pages/1_x.py", "import pages.home"),
        ("pages/ui/x.py", "from pages import home"),
        ("pages/ui/x.py", "from .. import home"),
        ("pages/ui/x.py", "import streamlit_app"),
        ("streamlit_app.py", "import torch"),
    ],
)
def test_the_layer_check_sees_a_fault(path, text):
    assert layer_faults(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("engine/storage/chroma.py", "def f():\n    import chromadb"),
        ("engine/storage/chroma_folder.py", "def f():\n    import chromadb"),
        ("engine/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import chromadb"),
        ("engine/models/x.py", "def f():\n    import torch"),
        ("engine/models/x.py", "from tokenizers import Tokenizer"),
        ("engine/figures/heat_map.py", "def f():\n    import plotly.graph_objects as go"),
        (
            "pages/x.py",
            "import streamlit as st\nfrom pages.ui import layout\nfrom pages.ui.layout import head",
        ),
        ("pages/ui/x.py", "from engine.types import Hit\nfrom . import layout"),
    ],
)
def test_the_layer_check_lets_right_code_pass(path, text):
    assert layer_faults(path, text) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("engine/x.py", "import os\nos.environ['A']"),
        ("pages/x.py", "import os\nos.getenv('A')"),
        ("engine/x.py", "from os import environ"),
        ("streamlit_app.py", "import os\nos.environ.get('A')"),
        ("pages/x.py", "@st.cache_data\ndef f(): ..."),
        ("pages/ui/x.py", "@st.cache_resource(ttl=3)\ndef f(): ..."),
        ("pages/ui/x.py", "from streamlit import cache_data"),
        ("pages/ui/x.py", "column.plotly_chart(figure)"),
        ("engine/x.py", "print('x')"),
        ("pages/ui/x.py", "import threading\nthreading.Thread(target=f).start()"),
        ("engine/x.py", "sys.stdout.write('x')"),
        ("engine/cli/x.py", "print('x')"),
        ("engine/evaluation/x.py", "query = 'SELECT id FROM items'"),
        ("pages/x.py", "def f(t):\n    return f' DELETE FROM {t}'"),
        ("engine/x.py", "try: ...\nexcept: ..."),
        ("engine/x.py", "try: ...\nexcept Exception: ..."),
        ("engine/x.py", "try: ...\nexcept (OSError, BaseException) as e: ..."),
        ("engine/x.py", "try: ...\nexcept builtins.Exception: ..."),
        ("engine/x.py", "try: ...\nexcept Exception:\n    if x:\n        raise"),
    ],
)
def test_the_word_check_sees_a_fault(path, text):
    assert word_faults(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("engine/settings.py", "import os\nos.environ['A']"),
        ("pages/ui/resources.py", "@st.cache_data\ndef f(): ..."),
        ("engine/x.py", "try: ...\nexcept (OSError, ValueError): ..."),
        ("engine/x.py", "try: ...\nexcept BaseException:\n    close()\n    raise"),
        ("engine/cli/x.py", "sys.stdout.write('x')"),
        ("pages/ui/figure.py", "st.plotly_chart(figure)"),
        ("engine/storage/x.py", "query = 'SELECT id FROM items'"),
        ("pages/x.py", "words = 'Select a map', 'DELETE'"),
    ],
)
def test_the_word_check_lets_right_code_pass(path, text):
    assert word_faults(path, text) == []


def fresh(program: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_DIR, capture_output=True, text=True, check=True
    )


def test_importing_the_engine_is_quick():
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        fresh("import engine")
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.5


def test_importing_every_room_loads_nothing_heavy():
    modules = [
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in source_files()
        if path.startswith("engine/")
    ]
    imported = "\n".join(f"import {module}" for module in modules)
    loaded = fresh(f"{imported}\nimport sys\nprint(*sys.modules)").stdout.split()
    assert "engine.storage.chroma" in loaded
    assert not {name.split(".")[0] for name in loaded} & (HEAVY | {"streamlit", "timm", "pages"})


def test_no_test_imports_another_one():
    """What tests share lies in tests/helpers/; a conftest holds fixtures and hooks."""
    for path in PROJECT_DIR.glob("tests/**/*.py"):
        for _, name in imports(ast.parse(path.read_text("utf-8")), ""):
            assert not within(name, "tests") or within(name, "tests.helpers"), (path, name)
