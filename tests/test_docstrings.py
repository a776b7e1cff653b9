"""Proves that a docstring about arrays says what they are, by reading every source file.

Asked for are the name of every array that goes in, a shape such as (n, d), and a dtype such as float32.
Whether they are true is for tests of the function itself.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.settings import PROJECT_DIR

ARRAY = re.compile(r"\b(ndarray|NDArray)\b")
# A side of a shape: n, 3, ..., "2 or 3", "h / 32", "at most MAX_DIMS", "len(FEATURES)"; no sentence has it.
SIDE = r"(?:\.\.\.|(?:at most )?\w+(?:\(\w+\))?(?: (?:or|[-+*/]) \w+)*)"
SHAPE = re.compile(rf"\({SIDE}(?:,|(?:, {SIDE})+)\)")
DTYPE = re.compile(r"\b(u?int(8|16|32|64)|float(16|32|64)|bool|str|dtypes?)\b")


def documented(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.ClassDef, list[ast.arg], str]]:
    """Yield public functions and classes of arrays, the arrays that go in, and the docstring about them.

    A class is asked for its fields of arrays and for what its constructor takes.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        given: list[ast.arg] = []
        told: list[ast.expr | None] = []
        if isinstance(node, ast.FunctionDef):
            given, told = takes(node), [node.returns]
        else:
            told = [one.annotation for one in node.body if isinstance(one, ast.AnnAssign)]
            for one in node.body:
                if isinstance(one, ast.FunctionDef) and one.name == "__init__":
                    given = takes(one)
        given = [one for one in given if is_array(one.annotation)]
        if given or any(map(is_array, told)):
            yield node, given, ast.get_docstring(node) or ""


def takes(function: ast.FunctionDef) -> list[ast.arg]:
    """Return all parameters of a function."""
    every = function.args
    starred = [one for one in (every.vararg, every.kwarg) if one]
    return [*every.posonlyargs, *every.args, *every.kwonlyargs, *starred]


def is_array(annotation: ast.expr | None) -> bool:
    """Tell whether an annotation speaks of arrays, alone or inside another type."""
    return annotation is not None and bool(ARRAY.search(ast.unparse(annotation)))


def faults(path: str, text: str) -> list[str]:
    """Return what docstrings of one file leave out, in words with line numbers."""
    found = []
    for node, given, words in documented(ast.parse(text)):
        missing = [one.arg for one in given if not re.search(rf"\b{one.arg}\b", words)]
        missing += ["a shape"] * (not SHAPE.search(words)) + ["a dtype"] * (not DTYPE.search(words))
        if missing:
            found.append(f"{path}:{node.lineno}: the docstring of {node.name} lacks {', '.join(missing)}")
    return found


def sources() -> list[Path]:
    return sorted([*PROJECT_DIR.glob("engine/**/*.py"), *PROJECT_DIR.glob("pages/**/*.py")])


def test_docstrings_about_arrays_say_shape_and_dtype():
    found = []
    for one in sources():
        found += faults(one.relative_to(PROJECT_DIR).as_posix(), one.read_text("utf-8"))
    assert found == []


def test_functions_fields_and_constructors_are_looked_at():
    seen = {node.name for one in sources() for node, _, _ in documented(ast.parse(one.read_text("utf-8")))}
    assert {"normalise", "encode_document", "VectorTable", "RegionNetwork", "ranks_by_score"} <= seen


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("def f(x: np.ndarray) -> float: ...", "x, a shape, a dtype"),
        ('def f(x: np.ndarray) -> float:\n    """Return the mean of x."""', "a shape, a dtype"),
        ('def f(x: np.ndarray) -> float:\n    """Return the mean of x (n, d)."""', "a dtype"),
        ('def f(x: np.ndarray) -> float:\n    """Return the mean of x, in float32."""', "a shape"),
        ('def f(x: np.ndarray) -> float:\n    """Return the mean of rows (n, d) float32."""', "x"),
        (
            'def f() -> list[np.ndarray]:\n    """Return rows (unit, in order, as ever), float32."""',
            "a shape",
        ),
        (
            'def f() -> np.ndarray | None:\n    """Return numbers (see Smith et al., 2017), bool."""',
            "a shape",
        ),
        ('class A:\n    """Rows (n, d)."""\n\n    rows: np.ndarray', "a dtype"),
        ('class A:\n    """Rows (n, d) of float16."""\n    def __init__(self, x: np.ndarray): ...', "x"),
        (
            'class A:\n    def f(self, *, y: "dict[str, np.ndarray]") -> None:\n        """Take y."""',
            "a shape",
        ),
    ],
)
def test_the_check_sees_what_is_missing(text, lacks):
    [fault] = faults("engine/x.py", text)
    assert f"lacks {lacks}" in fault


@pytest.mark.parametrize(
    "text",
    [
        'def f(x: np.ndarray) -> float:\n    """Return the mean of x, (n, 2 or 3) float32."""',
        'def f() -> np.ndarray:\n    """Return features: (1280, h / 32, w / 32) float32."""',
        'def f() -> np.ndarray:\n    """Return features: (n, len(FEATURES)) of the same dtype."""',
        'def f(x: np.ndarray) -> None:\n    """Write x, (..., at most MAX_DIMS) int64."""',
        'def f() -> np.ndarray:\n    """Return which rows have it: (n,) bool."""',
        "def f(x: str) -> None: ...",
        "def _f(x: np.ndarray) -> None: ...",
    ],
)
def test_the_check_lets_a_full_docstring_pass(text):
    assert faults("engine/x.py", text) == []
