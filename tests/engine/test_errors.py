"""Proves that the drawn exception tree is the real one; each text says what arrived and what to do."""

import inspect
import re
from pathlib import Path

import pytest

from engine import errors
from engine.errors import GapscopeError


def drawn() -> dict[str, str | None]:
    """Return class -> parent as the picture at the top of errors.py shows it."""
    parents, path = {}, []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([│├└─ ]*)([A-Z]\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else None
    return parents


def real() -> dict[str, str | None]:
    classes = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, GapscopeError)]
    return {c.__name__: None if c is GapscopeError else c.__base__.__name__ for c in classes}


def test_the_drawn_tree_is_the_real_tree():
    assert drawn() == real()
    assert len(real()) > 20


EXAMPLES = [
    (
        errors.ExportError("photos", "is a folder that holds something. Choose a new name."),
        {"name": "photos", "problem": "is a folder that holds something. Choose a new name."},
        "Choose a new name",
    ),
    (
        errors.SettingError("GAPSCOPE_X", "y", "a number"),
        {"key": "GAPSCOPE_X", "value": "y"},
        "must be a number",
    ),
    (errors.EmptyFileError(), {"reason": "The file is empty (0 bytes)."}, "0 bytes"),
    (errors.UnreadableMediaError("broken"), {"reason": "broken"}, "broken"),
    (
        errors.TooLargeError("The file", 300, 200, "MB", "GAPSCOPE_MAX_FILE_MB"),
        {"found": 300, "limit": 200, "unit": "MB"},
        "300 MB; the limit is 200 MB (setting GAPSCOPE_MAX_FILE_MB)",
    ),
    (errors.FolderError(Path("/d"), "is full", "Free some."), {"path": Path("/d")}, "/d is full. Free some."),
    (errors.UnknownModelError("m", ["pocket"]), {"model": "m", "known": ("pocket",)}, "Known models: pocket"),
    (
        errors.ModalityError("p", "audio", ["text"]),
        {"allowed": ("text",)},
        "cannot embed audio; it embeds text",
    ),
    (errors.StoreLockedError(Path("/d"), "pid 7"), {"owner": "pid 7"}, "GAPSCOPE_CHROMA_URL"),
    (errors.StoreUnreachableError("http://h"), {"url": "http://h"}, "chroma run"),
    (errors.StoreFailedError("http://h", "boom"), {"where": "http://h"}, "failed: boom"),
    (errors.CollectionNameError("x" * 500, "photos"), {"suggestion": "photos"}, "for example 'photos'"),
    (errors.CollectionNotFoundError("a", []), {"known": ()}, "Collections here: none"),
    (
        errors.CollectionModelError("c", "pocket 1", "clip 2", ["dim 384, not 512"]),
        {"made_by": "pocket 1", "differences": ("dim 384, not 512",)},
        "(dim 384, not 512). Use the model that made it",
    ),
    (errors.ModelKindError("m", "reranker", "embedder"), {"wanted": "embedder"}, "of kind 'reranker'"),
    (
        errors.ModelOptionError("m", "width", 7, "32, 16"),
        {"option": "width", "value": 7},
        "does not take width 7; it takes 32, 16",
    ),
    (
        errors.ModelMemoryError("m", "cuda:0", needed_gb=20, free_gb=8, fitting=["pocket"]),
        {"fitting": ("pocket",), "needed_gb": 20},
        "needs 20.0 GB on cuda:0, and 8.0 GB are free",
    ),
    (
        errors.SlowModelError("m", "cpu", seconds_per_item=12, items=1000),
        {"seconds_per_item": 12},
        "takes 12.0 s an item on cpu (measured on one): 1,000 files would take about 3.3 hours",
    ),
    (errors.RemoteCodeError("a/b"), {"model": "a/b"}, "GAPSCOPE_REMOTE_CODE=a/b"),
    (
        errors.NotDownloadedError("a/b", ["pocket"], missing="model.safetensors"),
        {"local": ("pocket",)},
        "only partly here (missing: model.safetensors). Download it",
    ),
    (errors.ImportedVectorsError("CLIP"), {"label": "CLIP"}, "imported vectors (CLIP): no model here can"),
    (
        errors.VectorFileError("a.npz", "1 row is bad.", ["row 2"]),
        {"file": "a.npz", "faults": ("row 2",)},
        "a.npz: 1 row is bad.",
    ),
    (errors.ViewFileError("is no JSON. Choose another."), {}, "The file is no JSON. Choose another."),
]


@pytest.mark.parametrize(("error", "fields", "words"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_an_error_carries_fields_and_says_what_to_do(error, fields, words):
    for name, value in fields.items():
        assert getattr(error, name) == value
    assert words in str(error)
    assert len(str(error)) < 500
    assert "\n" not in str(error)


def test_every_error_of_its_own_text_has_an_example():
    own = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and "__init__" in vars(kind)}
    assert own - {type(error).__name__ for error, _, _ in EXAMPLES} <= {"MediaError"}
