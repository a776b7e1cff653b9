"""Proves that every model is told why it does not run here, and what to do."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from engine.models import load, readiness
from engine.models.base import ModelSpec
from engine.models.catalog import CATALOG, POCKET
from engine.models.device import Device
from engine.models.readiness import survey
from engine.settings import load_settings

GPU = Device("cuda:0", "cuda", "A GPU", 8 * 10**9, True)
PLAIN = ModelSpec("somebody/tiny-clip", "embedder", ("text", "image"), "MIT", "", parameters=50_000_000)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Machine:
    """A machine with an empty cache, so much memory, and this catalog."""

    def __init__(self, monkeypatch, folder) -> None:
        from huggingface_hub import constants

        self.patch, self.cache = monkeypatch, folder / "cache"
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(self.cache))
        self.free, self.settings = {"cpu": 10**9, "cuda:0": 8 * 10**9}, {"data_dir": folder, "device": "cpu"}
        monkeypatch.setattr(readiness, "free_bytes", lambda device: self.free[device.name])

    def put(self, folder, id_, ref="main"):
        repo = self.cache / f"models--{id_.replace('/', '--')}"
        (repo / "refs").mkdir(parents=True)
        (repo / "refs" / ref).write_text(COMMIT, "utf-8")
        return shutil.copytree(folder, repo / "snapshots" / COMMIT)

    def of(self, *specs):
        known = {spec.id: spec for spec in specs}
        self.patch.setattr(readiness, "CATALOG", known)
        self.patch.setattr(load, "describe", lambda id_: known[id_])
        return survey(load_settings(**self.settings))

    def reason(self, *specs):
        return self.of(*specs)[0].reason


@pytest.fixture
def machine(monkeypatch, tmp_path):
    return Machine(monkeypatch, tmp_path)


def test_what_is_here_and_fits_runs(machine, tiny):
    machine.put(tiny("clip"), PLAIN.id)
    (one,) = machine.of(PLAIN)
    assert (one.runnable, one.downloaded, one.reason) == (True, True, None)
    assert (one.device, one.dtype, one.needed_bytes) == ("cpu", "float32", 240_000_000)


def test_memory_is_told_with_what_is_needed_and_what_is_free(machine, tiny):
    machine.put(tiny("clip"), PLAIN.id)
    large = replace(PLAIN, parameters=2_000_000_000)
    assert machine.reason(large) == "needs 9.6 GB on cpu, where 1.0 GB are free"
    machine.free["cpu"] = 9_600_000_000
    assert machine.reason(large) is None
    assert machine.reason(replace(PLAIN, parameters=None, memory_gb=None)) is None  # nobody knows, so try


def test_the_memory_counted_is_that_of_the_device_it_would_run_on(machine, tiny, monkeypatch):
    machine.put(tiny("clip"), PLAIN.id)
    monkeypatch.setattr(readiness, "devices", lambda settings: (GPU,))
    large = replace(PLAIN, parameters=2_000_000_000)
    (one,) = machine.of(large)
    assert (one.device, one.dtype, one.needed_bytes) == ("cuda:0", "bfloat16", 4_800_000_000)
    assert one.runnable
    machine.free["cuda:0"] = 4_000_000_000
    assert machine.reason(large) == "needs 4.8 GB on cuda:0, where 4.0 GB are free"
    pocket = machine.of(POCKET)[0]  # runs on the CPU also where there is a GPU
    assert (pocket.device, pocket.dtype, pocket.runnable) == ("cpu", "float32", True)


def test_packages_that_are_missing_are_named(machine, tiny):
    machine.put(tiny("clip"), PLAIN.id)
    assert machine.reason(replace(PLAIN, packages=("numpy", "no_such_1", "no_such_2"))) == (
        "not installed: no_such_1, no_such_2"
    )
    assert machine.reason(replace(PLAIN, packages=("numpy",))) is None


def test_code_of_its_own_is_told_until_it_is_allowed(machine, tiny):
    machine.put(tiny("clip"), PLAIN.id)
    own = replace(PLAIN, remote_code=True)
    assert (
        machine.reason(own) == f"runs Python code of its own: read it, then set GAPSCOPE_REMOTE_CODE={own.id}"
    )
    machine.settings["remote_code"] = f"somebody/else, {own.id}"
    assert machine.reason(own) is None


def test_several_vectors_per_item_are_refused(machine, tiny):
    machine.put(tiny("clip"), PLAIN.id)
    assert "a vector per token" in machine.reason(replace(PLAIN, kind="multi-vector"))


def test_what_is_not_here_is_told_with_the_command(machine):
    (one,) = machine.of(PLAIN)
    assert one.reason == f"not downloaded: `python -m engine download {PLAIN.id}`"
    assert (one.downloaded, one.runnable) == (False, False)


def test_what_is_half_here_is_told_with_the_command(machine, tiny):
    folder = machine.put(tiny("clip"), PLAIN.id)
    (folder / "model.safetensors").unlink()
    (one,) = machine.of(PLAIN)
    assert one.reason == f"partly downloaded: `python -m engine download {PLAIN.id}`"
    assert not one.downloaded


def test_another_revision_than_the_one_that_would_be_loaded_is_none(machine, tiny):
    machine.put(tiny("clip"), PLAIN.id, ref="v2")
    assert machine.reason(PLAIN).startswith("not downloaded")
    assert machine.reason(replace(PLAIN, revision="v2")) is None


def test_files_that_cannot_be_read_are_told(machine, tiny):
    folder = machine.put(tiny("clip"), PLAIN.id)
    (folder / "config.json").write_bytes(b"{")
    assert machine.reason(PLAIN).startswith("partly downloaded")


def test_the_model_that_embeds_the_pictures_counts_too(machine, tiny):
    words = ModelSpec("s/words", "embedder", ("text",), "MIT", "", parameters=10_000_000, images_by=PLAIN.id)
    machine.put(tiny("multilingual_clip"), words.id)
    assert machine.reason(words, PLAIN) == f"not downloaded: `python -m engine download {PLAIN.id}`"
    machine.put(tiny("clip"), PLAIN.id)
    (one, _) = machine.of(words, PLAIN)
    assert (one.reason, one.downloaded, one.needed_bytes) == (None, True, 48_000_000 + 240_000_000)


def test_the_hardest_obstacle_is_told_first(machine):
    worst = replace(
        PLAIN, kind="multi-vector", packages=("no_such",), remote_code=True, parameters=2_000_000_000
    )
    assert machine.reason(worst).startswith("gives a vector per token")
    worst = replace(worst, kind="embedder")
    assert machine.reason(worst).startswith("not installed")
    worst = replace(worst, packages=())
    assert machine.reason(worst).startswith("runs Python code of its own")
    worst = replace(worst, remote_code=False)
    assert machine.reason(worst).startswith("needs 9.6 GB")
    assert machine.reason(replace(worst, parameters=1)).startswith("not downloaded")


def test_every_model_of_the_catalog_is_told_of_and_nothing_is_loaded(monkeypatch, tmp_path):
    from huggingface_hub import constants
    from sentence_transformers import CrossEncoder, SentenceTransformer

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no" / "cache"))
    for kind in (SentenceTransformer, CrossEncoder):
        monkeypatch.setattr(kind, "__init__", lambda *_, **__: pytest.fail("a model was loaded"))
    told = survey(load_settings(data_dir=tmp_path))
    assert [one.spec for one in told] == list(CATALOG.values())
    assert [one.spec.id for one in told if one.runnable] == ["pocket", "pocket-reranker"]
    for one in told[2:]:
        assert one.reason
        assert "\n" not in one.reason
