"""Proves which devices are found, what counts as free there, which dtypes fit, and that memory comes back."""

import errno
import gc
import subprocess
import sys
import types
import weakref

import psutil
import pytest

from engine.errors import ModelOptionError, SettingError
from engine.models import device as module
from engine.models.base import ModelSpec
from engine.models.device import (
    Device,
    check_dtype,
    cpu,
    default_dtype,
    devices,
    dtypes,
    free_bytes,
    is_out_of_memory,
    needed_bytes,
    release,
)
from engine.settings import PROJECT_DIR, load_settings

AMPERE = Device("cuda:0", "cuda", "A GPU", 24_000_000_000, True)
TURING = Device("cuda:1", "cuda", "An older GPU", 16_000_000_000, False)
APPLE = Device("mps", "mps", "Apple M2", 12_000_000_000, True)
CPU = Device("cpu", "cpu", "A CPU", 24_000_000_000, True)
GB = 10**9


def cuda():
    import torch

    return torch.cuda.is_available()


needs_cuda = pytest.mark.skipif("not cuda()", reason="no CUDA GPU on this machine")


def spec(**fields):
    return ModelSpec("m", "embedder", ("text",), "MIT", "", **fields)


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes torch see other GPUs than this machine has."""
    import torch

    def pretend(gpus=(), *, mps=False, hip=None):
        names = [
            types.SimpleNamespace(name=name, total_memory=total, major=major) for name, total, major in gpus
        ]
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: names[index])
        monkeypatch.setattr(torch.version, "hip", hip)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.backends.mps, "get_name", lambda: "Apple M2")
        monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: True)
        monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12_000_000_000)
        monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 5_000_000_000)

    return pretend


TWO = [("A GPU", 24_000_000_000, 8), ("An older GPU", 16_000_000_000, 7)]


@pytest.mark.parametrize(
    ("gpus", "mps", "asked", "names"),
    [
        ([], False, "auto", ["cpu"]),
        ([], True, "auto", ["mps"]),
        (TWO, True, "auto", ["cuda:0", "cuda:1"]),
        (TWO, False, "cpu", ["cpu"]),
        (TWO, False, "cpu,cpu", ["cpu", "cpu"]),
        (TWO, False, "cuda", ["cuda:0"]),
        (TWO, False, "cuda:1,cuda,cpu", ["cuda:1", "cuda:0", "cpu"]),
        (TWO, False, "cuda:1,cuda:1", ["cuda:1", "cuda:1"]),
        ([], True, "mps,cpu", ["mps", "cpu"]),
    ],
)
def test_the_setting_picks_the_devices(machine, gpus, mps, asked, names):
    machine(gpus, mps=mps)
    assert [device.name for device in devices(load_settings(device=asked))] == names


@pytest.mark.parametrize(
    ("gpus", "asked", "here"),
    [
        ([], "cuda", "cpu"),
        ([], "cpu,mps", "cpu"),
        (TWO, "cuda:2", "cuda:0, cuda:1, cpu"),
        (TWO, "cuda,mps", "cuda:0, cuda:1, cpu"),
    ],
)
def test_a_device_that_is_not_here_is_refused_with_those_that_are(machine, gpus, asked, here):
    machine(gpus)
    with pytest.raises(SettingError) as refused:
        devices(load_settings(device=asked))
    assert refused.value.key == "GAPSCOPE_DEVICE"
    assert str(refused.value).endswith(
        f"{asked!r}, but it must be auto, or of what this machine has: {here}."
    )


def test_a_gpu_is_described_as_torch_tells(machine):
    machine(TWO)
    assert devices(load_settings()) == (AMPERE, TURING)
    machine(TWO, hip="6.4")
    assert [device.bfloat16 for device in devices(load_settings())] == [True, True]
    machine(mps=True)
    assert devices(load_settings()) == (APPLE,)
    assert free_bytes(APPLE) == 7_000_000_000


def test_the_cpu_needs_no_torch():
    program = (
        "import sys; from engine.models.device import *; from engine.settings import load_settings\n"
        "found = devices(load_settings(device='cpu'))[0]; free_bytes(found); release(found)\n"
        "assert found == cpu() and found.label and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT_DIR, check=True)


def test_the_cpu_has_no_more_than_the_machine():
    assert 0 < free_bytes(cpu()) <= psutil.virtual_memory().available + GB
    assert free_bytes(cpu()) < cpu().total_bytes <= psutil.virtual_memory().total


def group(folder, *, limit, used, cached=0, version=2):
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else module._GROUP_FILES[1][:2]
    for name, value in zip(names, (limit, used), strict=True):
        (folder / name).write_text(f"{value}\n")
    prefix = "total_" if version == 1 else ""
    lines = ["anon 1", f"{prefix}inactive_file {cached}", f"{prefix}active_file 0"]
    (folder / "memory.stat").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("groups", "made", "limit"),
    [
        ("0::/a/b", {"a/b": {"limit": GB, "used": GB // 4}}, (GB, GB * 3 // 4)),
        ("0::/a/b", {"a/b": {"limit": "max", "used": 5}, "a": {"limit": GB, "used": 0}}, (GB, GB)),
        ("0::/", {"": {"limit": GB, "used": GB, "cached": GB // 2}}, (GB, GB // 2)),
        ("0::/", {"": {"limit": "max", "used": 5}}, None),
        # Docker on version 1: the path is the host's, and the folder at the root is the container's.
        ("5:memory:/docker/x\n0::/", {"memory": {"limit": GB, "used": 0, "version": 1}}, (GB, GB)),
        ("5:memory:/x", {"memory/x": {"limit": GB, "used": GB, "cached": 7, "version": 1}}, (GB, 7)),
        ("5:cpu:/x", {"cpu/x": {"limit": GB, "used": 0}}, None),
    ],
)
def test_a_container_has_its_share_of_the_machine(monkeypatch, tmp_path, groups, made, limit):
    (tmp_path / "own").write_text(groups)
    for name, fields in made.items():
        group(tmp_path / "groups" / name, **fields)
    machine = types.SimpleNamespace(total=64 * GB, available=32 * GB)
    monkeypatch.setattr(module, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(module, "_CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: machine)
    process = types.SimpleNamespace(memory_info=lambda: types.SimpleNamespace())
    monkeypatch.setattr(module.psutil, "Process", lambda: process)
    assert (cpu().total_bytes, free_bytes(cpu())) == (limit or (64 * GB, 32 * GB))


def test_a_machine_without_control_groups_has_all_its_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_OWN_GROUPS", tmp_path / "none")
    monkeypatch.setattr(module, "_CPU_INFO", tmp_path / "none")
    assert cpu().total_bytes == psutil.virtual_memory().total
    assert cpu().label


def test_allowed_and_default_dtypes_follow_the_device():
    plain, half = spec(), spec(gpu_dtype="float16", cpu_dtype="bfloat16")
    assert [default_dtype(plain, one) for one in (CPU, AMPERE, TURING, APPLE)] == [
        "float32",
        "bfloat16",
        "float16",
        "bfloat16",
    ]
    assert [default_dtype(half, one) for one in (CPU, AMPERE, TURING)] == ["bfloat16", "float16", "float16"]
    for device in (CPU, AMPERE, TURING, APPLE):
        for dtype in dtypes(device):
            check_dtype("m", dtype, device)


@pytest.mark.parametrize(
    ("dtype", "device", "allowed"),
    [
        ("float16", CPU, "float32 or bfloat16 on cpu"),
        ("bfloat16", TURING, "float32 or float16 on cuda:1"),
        ("int8", AMPERE, "float32 or bfloat16 or float16 on cuda:0"),
        ("", APPLE, "float32 or bfloat16 or float16 on mps"),
    ],
)
def test_a_dtype_the_device_does_not_take_is_refused_with_those_it_takes(dtype, device, allowed):
    with pytest.raises(ModelOptionError) as refused:
        check_dtype("m", dtype, device)
    assert str(refused.value) == f"m does not take dtype {dtype}; it takes {allowed}."


@pytest.mark.parametrize(
    ("fields", "dtype", "files", "needed"),
    [
        ({"memory_gb": 4.5}, "bfloat16", {}, 4.5e9),
        ({"memory_gb": 4.5, "parameters": 7}, "float32", {}, 9e9),
        ({"memory_gb": 4.5, "gpu_dtype": "float32"}, "float16", {}, 2.25e9),
        ({"parameters": 10**9}, "float32", {}, 4.8e9),
        ({"parameters": 10**9}, "float16", {"weight_bytes": 7}, 2.4e9),
        ({}, "float32", {"weight_bytes": 10**9, "weight_dtype": "bfloat16"}, 2.4e9),
        ({}, "bfloat16", {"weight_bytes": 10**9}, 0.6e9),
        ({}, "float32", {"weight_bytes": 10**9, "weight_dtype": "Q4"}, None),
        ({}, "float32", {}, None),
    ],
)
def test_what_a_model_needs_scales_with_its_dtype(fields, dtype, files, needed):
    assert needed_bytes(spec(**fields), dtype, **files) == needed


def test_what_a_model_needs_at_an_unknown_dtype_is_refused():
    with pytest.raises(ModelOptionError, match="does not take dtype int4; it takes float32 or"):
        needed_bytes(spec(parameters=1), "int4")


def allocate_too_much(library):
    import numpy as np
    import torch

    return np.empty(10**15) if library == "numpy" else torch.empty(10**15)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_a_real_failed_allocation_is_known_as_such(library):
    with pytest.raises((MemoryError, RuntimeError)) as failed:
        allocate_too_much(library)
    assert is_out_of_memory(failed.value)
    try:
        raise ValueError("the model cannot be loaded") from failed.value
    except ValueError as error:
        assert is_out_of_memory(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("MPS backend out of memory (MPS allocated: 5.56 GB, other allocations: 1.10 GB"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 4"),
            True,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (OSError(errno.ENOMEM, "Not enough space"), True),  # Windows' words for it
        (OSError(28, "No space left on device"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (KeyboardInterrupt("out of memory"), False),
    ],
)
def test_other_errors_are_told_apart(error, expected):
    assert is_out_of_memory(error) is expected


def test_torch_s_own_error_is_known():
    import torch

    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="tells of glibc")
def test_small_tensors_come_back_to_the_system():
    """The blocks are of a size that glibc keeps while one that came after them is still there."""
    program = """
import psutil, torch
from engine.models.device import cpu, release
def rss(): return psutil.Process().memory_info().rss
torch.ones(8_000_000).sum()  # freeing these 32 MB, the most, lets glibc keep what is smaller
before = rss()
blocks = [torch.full((500_000,), 1.0) for _ in range(200)]
loaded = rss() - before
del blocks[:-1]
release(cpu())
assert loaded > 380e6, loaded
assert rss() - before < 60e6, rss() - before
"""
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT_DIR, check=True)


def test_what_only_refers_to_itself_is_released():
    class Module: ...

    gc.disable()
    try:
        model = Module()
        model.parent, seen = model, weakref.ref(model)
        del model
        assert seen() is not None
        release(CPU)
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
def test_a_model_mapped_from_its_file_takes_memory(monkeypatch, tmp_path):
    """The machine's own figure does not move, as Linux calls a mapped file available."""
    import mmap

    machine = types.SimpleNamespace(total=64 * GB, available=32 * GB)
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: machine)
    monkeypatch.setattr(module, "_OWN_GROUPS", tmp_path / "none")
    path = tmp_path / "weights"
    path.write_bytes(bytes(300_000_000))
    with path.open("rb") as file:
        before = free_bytes(cpu())
        weights = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        assert sum(weights[::4096]) == 0  # touches every page
        taken = before - free_bytes(cpu())
        weights.close()
    assert 250e6 < taken < 350e6
    assert before - free_bytes(cpu()) < 50e6


@needs_cuda
def test_memory_of_a_real_gpu_comes_back():
    import torch

    device = devices(load_settings(device="cuda"))[0]
    release(device)
    before = free_bytes(device)
    weights = torch.nn.Linear(16_384, 16_384, bias=False, device=device.name)  # 1 GiB
    taken = before - free_bytes(device)
    del weights
    release(device)
    assert taken >= 2**30
    assert before - free_bytes(device) < 2**28
    assert 0 < free_bytes(device) <= device.total_bytes


@needs_cuda
def test_a_real_gpu_out_of_memory_is_known_as_such():
    import torch

    device = devices(load_settings(device="cuda"))[0]
    with pytest.raises(RuntimeError) as failed:
        torch.empty(2 * device.total_bytes, dtype=torch.uint8, device=device.name)
    assert is_out_of_memory(failed.value)
    assert set(dtypes(device)) >= {"float32", "float16"}
    check_dtype("m", default_dtype(spec(), device), device)
