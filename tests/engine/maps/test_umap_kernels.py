"""Kernels are compiled once and found by the next process, whatever became of the folder they are kept in."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from engine.maps import umap_kernels
from tests.helpers.data import ROOT

SOURCE = """
import numba

@numba.njit()
def inner(x):
    return 3 * x

@numba.njit(fastmath=True)
def outer(x):
    return inner(x) + 1

def both(x):
    for step in numba.prange(3):
        x += step
    return x

one = numba.njit(both, parallel=False)
many = numba.njit(both, parallel=True)
"""
# Says what was found, and how many kernels were compiled and how many read.
RUN = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numba
from engine.maps.umap_kernels import kept
before = numba.njit, numba.config.CACHE_DIR
with kept(Path(sys.argv[2]) if sys.argv[2] else None):
    import some_kernels as found
assert (numba.njit, numba.config.CACHE_DIR) == before
values = [found.outer(2), found.one(2)]
stats = [kernel.stats for kernel in (found.inner, found.outer, found.one)]
compiled, read = (sum(sum(one[at].values()) for one in stats) for at in (2, 1))
print(json.dumps([values, compiled, read, found.many.stats.cache_path]))
"""
FIT = """
import hashlib, json, sys
import numpy as np
if sys.argv[1:] == ["plain"]:
    import umap
from numba.core.dispatcher import Dispatcher
from engine.maps.projection import ProjectionSettings, fit
from engine.types import VectorTable
rows = np.random.default_rng(3).normal(size=(120, 16)).astype(np.float32)
table = VectorTable(tuple(map(str, range(120))), rows)
found = fit(table, ["image"] * 120, ProjectionSettings(n_neighbors=8))
ours = ("umap", "pynndescent")
modules = [vars(module) for name, module in sys.modules.items() if name.split(".")[0] in ours]
kernels = {id(one): one for module in modules for one in module.values() if isinstance(one, Dispatcher)}
compiled, read = (sum(sum(one.stats[at].values()) for one in kernels.values()) for at in (2, 1))
print(json.dumps([hashlib.sha256(found.places.tobytes()).hexdigest(), compiled, read]))
"""


def begin(program: str, *arguments: object, **env: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen) -> list:
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "some_kernels.py").write_text(SOURCE, "utf-8")
    return tmp_path / "code"


def run(module: Path, folder: Path | str) -> list:
    return result(begin(RUN, module, folder))


def files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.nb?")}


VALUES = [7, 5]


@pytest.mark.slow
def test_the_next_process_finds_what_the_first_one_compiled(module, tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    values, compiled, read, path = run(module, folder)
    assert values == VALUES and compiled and not read
    # Of one function compiled twice the second is not kept: numba would take them for each other.
    assert path is None and len([name for name in files(folder) if "both" in name]) == 2
    there = files(folder)
    assert run(module, folder)[:2] == [VALUES, 0] and files(folder) == there


@pytest.mark.slow
def test_damaged_kernels_are_compiled_again(module, tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    run(module, folder)
    for number, path in enumerate(sorted(folder.rglob("*.nb?"))):
        data = path.read_bytes()
        half = len(data) // 2
        path.write_bytes(
            (data[:half], data[:half] + bytes(200) + data[half + 200 :], b"", bytes(len(data)))[number % 4]
        )
    assert number >= 5
    values, compiled, _, _ = run(module, folder)
    assert values == VALUES and compiled
    assert run(module, folder)[:2] == [VALUES, 0]


def test_where_nothing_can_be_written_there_is_no_folder(monkeypatch, tmp_path, caplog):
    (tmp_path / "a file").write_text("", "utf-8")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "a file" / "cache"))
    assert umap_kernels._folder() is None and "compiled in every process" in caplog.text
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    assert umap_kernels._folder().parent == tmp_path / "cache"


def test_a_folder_that_is_none_keeps_nothing_and_fails_at_nothing(module, tmp_path):
    assert run(module, "")[:2] == [VALUES, 3]
    assert not list(tmp_path.rglob("*.nb?"))


def test_a_full_disk_costs_the_keeping_and_not_the_kernel(module, tmp_path):
    full = f"""
import errno
from numba.core.caching import IndexDataCacheFile
def full(self, path):
    raise OSError({errno.ENOSPC}, "No space left on device")
IndexDataCacheFile._open_for_write = full
"""
    folder = tmp_path / "kept"
    folder.mkdir()
    values, compiled, _, _ = result(begin(full + RUN, module, folder))
    assert values == VALUES and compiled and not files(folder)


@pytest.mark.slow
def test_several_processes_at_once_leave_kernels_that_are_right(module, tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    for values, *_ in map(result, [begin(RUN, module, folder) for _ in range(3)]):
        assert values == VALUES
    assert run(module, folder)[:2] == [VALUES, 0]


@pytest.mark.slow
def test_umap_is_compiled_once_and_places_as_umap_does_by_itself():
    plain = begin(FIT, "plain")
    first, *counts = result(begin(FIT))  # all are compiled, or read where a test before compiled them
    assert any(counts)
    places, compiled, read = result(begin(FIT))
    assert (places, compiled) == (first, 0) and read
    places, compiled, _ = result(plain)  # pynndescent keeps kernels of its own, umap none
    assert places == first and compiled
