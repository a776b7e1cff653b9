"""Proves that models are loaded once, lent safely, unloaded in order, and that failures harm no other."""

import gc
import logging
import threading
import time
import types
import weakref

import numpy as np
import psutil
import pytest

from engine.errors import ModelError, ModelKindError, ModelMemoryError, WeightsError
from engine.models import in_memory
from engine.models.base import ModelChoice, ModelSpec
from engine.models.device import Device, devices, free_bytes, release
from engine.models.in_memory import LoadedModels
from engine.settings import load_settings
from engine.types import Provenance

CPU = Device("cpu", "cpu", "A CPU", 10, True)
GPU = Device("cuda:0", "cuda", "A GPU", 10, True)
GB = 10**9
A, B, C, D = (ModelChoice(name) for name in "ABCD")


class FakeWeights:
    """Real memory with a label; `close` does nothing, so that only dropping every reference frees it."""

    def __init__(self, choice, *, size=1, kind="embedder", memory=1_000):
        self.spec = ModelSpec(choice.id, kind, ("text",), "MIT", "")
        self.kind, self.memory_bytes, self.seconds_per_item = kind, size * GB, {"text": 0.5}
        self.array, self.closed = np.ones(memory, np.uint8), False
        self.made_by = Provenance(choice.id, choice.revision or "main", 8, choice.dtype or "float32")

    def view(self, choice):
        return types.SimpleNamespace(
            choice=choice, weights=weakref.ref(self), provenance=self.made_by, modalities=("text",)
        )

    def close(self):
        self.closed = True


class Machine:
    """LoadedModels on a device of so many GB, where what is free follows from which objects are alive."""

    def __init__(self, monkeypatch, *, total=10, sizes=None, kinds=None, device=CPU):
        self.sizes, self.kinds, self.total = sizes or {}, kinds or {}, total * GB
        self.alive, self.loads, self.known = weakref.WeakSet(), [], True
        self.device, self.hooks, self.asked, self.released = device, {}, [], []
        monkeypatch.setattr(in_memory, "free_bytes", lambda device: self.free())
        monkeypatch.setattr(in_memory, "release", self.release)
        self.models = LoadedModels(
            load_settings(), self.load, self.needs, self.would_fit, device_of=lambda choice: self.device
        )

    def free(self):
        return self.total - sum(one.memory_bytes for one in self.alive)

    def release(self, device):
        gc.collect()
        self.released.append((device, sorted(one.spec.id for one in self.alive)))

    def size(self, choice):
        return self.sizes.get(choice.id, 1)

    def needs(self, choice, device):
        return self.size(choice) * GB if self.known else None

    def would_fit(self, device, free):
        self.asked.append((device, free))
        return [name for name, size in sorted(self.sizes.items()) if size * GB <= free]

    def load(self, choice, device, on_stage):
        self.loads.append(choice.id)
        weights = FakeWeights(choice, size=self.size(choice), kind=self.kinds.get(choice.id, "embedder"))
        self.alive.add(weights)
        if self.free() < 0:
            raise RuntimeError("CUDA out of memory. Tried to allocate 1.00 GiB.")
        if choice.id in self.hooks:
            self.hooks[choice.id](on_stage)
        return weights

    def touch(self, *choices):
        for choice in choices:
            with self.models.use(choice):
                pass

    @property
    def names(self):
        return [one.choice.id for one in self.models.list()]


@pytest.fixture
def machine(monkeypatch):
    made = []

    def make(**fields):
        made.append(Machine(monkeypatch, **fields))
        return made[-1]

    yield make
    for one in made:
        one.models.close()


class Slow:
    """A load that says what it does and waits for the test to let it end."""

    def __init__(self, error=None):
        self.started, self.go, self.error = threading.Event(), threading.Event(), error
        self.say = None

    def __call__(self, on_stage):
        self.say = on_stage
        on_stage("Reading weights")
        self.started.set()
        assert self.go.wait(60)
        if self.error:
            error, self.error = self.error, None
            raise error


class Visitor(threading.Thread):
    """Uses a model in a thread of its own until told to leave."""

    def __init__(self, models, choice, kind="embedder"):
        super().__init__(daemon=True)
        self.models, self.choice, self.kind = models, choice, kind
        self.stages, self.view, self.error = [], None, None
        self.has, self.leave = threading.Event(), threading.Event()
        self.start()

    def run(self):
        try:
            with self.models.use(self.choice, self.kind, self.stages.append) as self.view:
                self.has.set()
                self.leave.wait(60)
        except ModelError as error:
            self.error = error

    def finish(self):
        self.leave.set()
        self.join(60)
        assert not self.is_alive()
        return self


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_model_is_loaded_at_the_first_use_and_then_lent(machine):
    here = machine()
    narrow, wide = ModelChoice("A", dim=4, query_prompt="q"), ModelChoice("A", dim=8)
    with here.models.use(narrow) as first, here.models.use(wide) as second:
        assert (first.choice, second.choice) == (narrow, wide)
        assert first.weights() is second.weights()
        assert here.models.list()[0].in_use == 2
    assert here.loads == ["A"]
    assert here.models.is_loaded(ModelChoice("A", dim=3))
    assert not here.models.is_loaded(B)


def test_other_weights_are_another_model(machine):
    here = machine()
    here.touch(A, ModelChoice("A", revision="2"), ModelChoice("A", dtype="bfloat16"))
    assert len(here.models.list()) == 3


def test_a_choice_with_the_defaults_spelt_out_is_the_same_model(machine):
    here = machine()
    here.touch(A)
    exact = ModelChoice.of(Provenance("A", "main", 8, "float32", query_prompt="q", max_pixels=5))
    assert here.models.is_loaded(exact)
    here.touch(exact)
    assert here.loads == ["A"]
    assert here.models.unload(exact)
    assert not here.models.is_loaded(A)


def test_the_list_tells_what_a_page_shows(machine):
    here = machine(sizes={"A": 3}, kinds={"A": "reranker"})
    here.hooks["A"] = lambda say: time.sleep(0.02)
    with here.models.use(A, "reranker"):
        shown = here.models.list()[0]
    assert (shown.choice, shown.kind, shown.device, shown.memory_bytes) == (A, "reranker", "cpu", 3 * GB)
    assert (shown.provenance, shown.modalities) == (Provenance("A", "main", 8), ("text",))
    assert 0.02 <= shown.load_seconds < 5
    assert (shown.seconds_per_item, shown.in_use) == ({"text": 0.5}, 1)
    assert here.models.list()[0].in_use == 0


@pytest.mark.parametrize(("kind", "wanted"), [("reranker", "embedder"), ("embedder", "reranker")])
def test_a_model_of_another_kind_is_refused_and_given_back(machine, kind, wanted):
    here = machine(kinds={"A": kind})
    words = f"A is of kind '{kind}', but .* of kind '{wanted}'"
    with pytest.raises(ModelKindError, match=words), here.models.use(A, wanted):
        pass
    with here.models.use(A, kind):
        pass
    assert here.models.list()[0].in_use == 0


def test_a_lease_ends_with_an_exception(machine):
    here = machine()
    with pytest.raises(KeyError), here.models.use(A):
        raise KeyError
    assert here.models.list()[0].in_use == 0
    assert here.models.unload(A)


# ── several visitors ─────────────────────────────────────────────────────────────────────────────


def test_visitors_of_one_model_load_it_once_and_see_its_stages(machine):
    here, slow = machine(), Slow()
    here.hooks["A"] = slow
    first = Visitor(here.models, A)
    assert slow.started.wait(60)
    others = [Visitor(here.models, ModelChoice("A", dim=dim)) for dim in (2, 4, 8)]
    for other in others:
        until(lambda other=other: other.stages == ["Reading weights"])
    assert here.models.stage() == (A, "Reading weights")
    slow.say("Measuring")
    for other in others:
        until(lambda other=other: other.stages == ["Reading weights", "Measuring"])
    assert not here.models.is_loaded(A)
    slow.go.set()
    for visitor in [first, *others]:
        assert visitor.has.wait(60)
    assert here.models.list()[0].in_use == 4
    assert {visitor.view.weights() for visitor in [first, *others]} == set(here.alive)
    for visitor in [first, *others]:
        visitor.finish()
    assert here.loads == ["A"]
    assert first.stages == ["Loading A", "Reading weights", "Measuring"]
    assert here.models.stage() is None
    assert here.models.list()[0].in_use == 0


def test_a_load_waits_for_another_and_says_so(machine):
    here, slow = machine(), Slow()
    here.hooks["A"] = slow
    first = Visitor(here.models, A)
    assert slow.started.wait(60)
    second = Visitor(here.models, B)
    until(lambda: second.stages == ["Waiting: A is being loaded (Reading weights)"])
    assert here.loads == ["A"]
    slow.go.set()
    assert second.has.wait(60)
    assert second.stages[-1] == "Loading B"
    first.finish(), second.finish()


def test_loaded_models_are_usable_during_a_slow_load(machine):
    here, slow = machine(), Slow()
    here.touch(B)
    here.hooks["A"] = slow
    loading = Visitor(here.models, A)
    assert slow.started.wait(60)
    started = time.monotonic()
    with here.models.use(B) as view:
        assert view.choice == B
        assert here.models.unload(B) is False
    assert here.models.unload(B) is True
    assert here.names == []
    assert time.monotonic() - started < 20  # the other one would be loading for a minute
    slow.go.set()
    loading.finish()


def test_many_threads_on_few_models_never_load_one_twice_at_a_time(machine):
    here = machine(total=2)
    choices, failures = [A, B, C, D], []

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(25):
            choice = choices[random.integers(4)]
            try:
                with here.models.use(choice) as view:
                    time.sleep(0.0005)
                    if view.weights() is None or view.weights().closed:
                        failures.append(choice)
            except ModelMemoryError as error:  # right where two others are in use
                if error.free_gb >= 1:
                    failures.append(error)
            names = here.names
            if len(names) != len(set(names)) or len(names) > 2:
                failures.append(names)

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert failures == []
    assert all(one.in_use == 0 for one in here.models.list())
    gc.collect()
    assert len(here.alive) == len(here.names)


def test_a_load_that_asks_for_another_model_is_told_instead_of_hanging(machine):
    here = machine()
    here.hooks["A"] = lambda say: here.touch(B)
    with pytest.raises(RuntimeError, match="must not use another model"):
        here.touch(A)
    here.touch(B)
    assert here.names == ["B"]


# ── memory ───────────────────────────────────────────────────────────────────────────────────────


def test_the_least_recently_used_go_first_and_no_more_than_needed(machine):
    here = machine(total=4, sizes={"D": 2})
    here.touch(A, B, C, A)  # least recently used first: B, C, A
    stages = []
    with here.models.use(D, on_stage=stages.append):
        assert here.names == ["C", "A", "D"]
    assert stages == ["Loading D", "Unloading B to make room for D"]
    assert here.free() == 0


def test_giving_back_counts_as_use(machine):
    here = machine(total=2)
    with here.models.use(A):
        here.touch(B)
    here.touch(C)
    assert here.names == ["A", "C"]


def test_a_leased_model_is_never_unloaded(machine):
    here = machine(total=2)
    with here.models.use(A) as view:
        assert here.models.unload(A) is False
        here.touch(B, C, D)
        assert here.names == ["A", "D"]
        assert view.weights() is not None
    assert here.models.unload(A) is True
    assert here.models.unload(A) is False


@pytest.mark.parametrize("leased", [False, True])
def test_a_model_that_cannot_fit_is_refused_and_nothing_unloaded(machine, leased):
    here = machine(total=10, sizes={"A": 2, "B": 3, "C": 11, "D": 8})
    here.touch(A)
    with here.models.use(B):
        wanted = D if leased else C
        with pytest.raises(ModelMemoryError) as refused:
            here.touch(wanted)
        error = refused.value
        assert (error.model, error.device) == (wanted.id, "cpu")
        assert (error.needed_gb, error.free_gb) == (here.size(wanted), 7)  # A is idle, B is not
        assert error.fitting == ("A", "B")
        assert here.asked == [(CPU, 7 * GB)]
        assert here.names == ["A", "B"]
    assert here.loads == ["A", "B"]
    assert here.models.stage() is None


def test_a_device_is_cleared_when_nothing_holds_the_weights_any_more(machine):
    here = machine()
    here.touch(A, B)
    here.released.clear()
    here.models.unload(A)
    assert here.released == [(CPU, ["B"])]


def test_memory_that_does_not_come_back_is_measured_not_assumed(machine):
    here = machine(total=2)
    here.touch(A, B)
    (kept,) = [one for one in here.alive if one.spec.id == "A"]  # somebody keeps it alive
    here.touch(C)  # so B has to go too
    assert here.names == ["C"]
    assert kept.closed
    held = list(here.alive)  # now nothing that is unloaded comes back
    with pytest.raises(ModelMemoryError) as refused:
        here.touch(D)
    assert (refused.value.needed_gb, refused.value.free_gb) == (1, 0)
    assert here.loads == ["A", "B", "C"]
    assert len(held) == 2


def test_models_on_another_device_are_left_alone(machine):
    here = machine(total=2)
    here.device = GPU
    here.touch(A)
    here.device = CPU
    here.touch(B, C)
    assert here.names == ["A", "C"]


@pytest.mark.parametrize("known", [False, True])
def test_a_load_that_runs_out_of_memory_is_tried_once_more_with_the_idle_unloaded(machine, known):
    here = machine(total=4, sizes={"A": 2, "B": 1, "C": 3})
    here.known = known
    here.touch(A)
    with here.models.use(B):
        if known:
            here.models._needs = lambda choice, device: 1  # far too low
        stages = []
        with here.models.use(C, on_stage=stages.append):
            assert here.names == ["B", "C"]
        assert here.loads == ["A", "B", "C", "C"]
        assert stages[1] == "Memory ran out: unloading what nobody uses, then loading C again"


def test_a_load_that_runs_out_of_memory_twice_is_refused_and_leaves_no_half_model(machine, caplog):
    here = machine(total=4, sizes={"A": 1, "B": 2, "C": 3})
    here.known = False
    here.touch(A)
    with here.models.use(B) as view, caplog.at_level(logging.WARNING):
        with pytest.raises(ModelMemoryError) as refused:
            here.touch(C)
        error = refused.value
        assert (error.model, error.free_gb, error.fitting) == ("C", 2, ("A", "B"))
        assert error.needed_gb is None and "needs more than there is" in str(error)
        assert here.loads == ["A", "B", "C", "C"]
        # Alive is B alone, though the error and the log record still are: neither holds a half C.
        assert [one.spec.id for one in here.alive] == ["B"]
        assert "Tried to allocate 1.00 GiB" in caplog.text
        assert view.weights() is not None
    here.touch(A)
    assert here.names == ["B", "A"]


def test_an_error_raised_from_running_out_of_memory_counts_too(machine):
    here = machine(total=1)
    here.known = False
    here.touch(A)
    first = []

    def fail(say):
        if not first:
            first.append(1)
            raise WeightsError("B cannot be loaded") from MemoryError()

    here.total = 2 * GB
    here.hooks["B"] = fail
    here.touch(B)
    assert here.names == ["B"]


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", [WeightsError("broken"), RuntimeError("shape"), KeyboardInterrupt()])
def test_a_failed_load_leaves_the_rest_working(machine, error):
    here = machine()

    def fail(say):
        raise error

    here.hooks["B"] = fail
    here.touch(A)
    before = here.models.list()
    with pytest.raises(type(error)):
        here.touch(B)
    assert here.loads == ["A", "B"]
    assert here.models.list() == before
    assert here.models.stage() is None
    del here.hooks["B"]
    here.touch(A, B)
    assert here.names == ["A", "B"]


def test_a_failure_before_the_load_leaves_the_rest_working(machine):
    here = machine()
    here.touch(A)
    here.models._needs = lambda choice, device: (_ for _ in ()).throw(WeightsError("no files"))
    with pytest.raises(WeightsError):
        here.touch(B)
    here.models._needs = here.needs
    here.touch(A, B)


def test_those_who_waited_for_a_failed_load_try_anew(machine):
    here, slow = machine(), Slow(WeightsError("broken"))
    here.hooks["A"] = slow
    first = Visitor(here.models, A)
    assert slow.started.wait(60)
    second = Visitor(here.models, A)
    until(lambda: second.stages)
    slow.go.set()
    assert second.has.wait(60)
    assert isinstance(first.finish().error, WeightsError)
    assert second.finish().error is None
    assert here.loads == ["A", "A"]


def test_a_visitor_who_leaves_while_waiting_harms_nobody(machine):
    here, slow = machine(), Slow()
    here.hooks["A"] = slow
    first = Visitor(here.models, A)
    assert slow.started.wait(60)

    def leave(stage):
        raise InterruptedError(stage)

    with pytest.raises(InterruptedError, match="Reading weights"), here.models.use(A, on_stage=leave):
        pass
    slow.go.set()
    assert first.has.wait(60)
    assert here.models.list()[0].in_use == 1
    first.finish()
    with pytest.raises(InterruptedError, match="Loading B"), here.models.use(B, on_stage=leave):
        pass
    here.touch(B)


def test_closing_unloads_what_is_idle_and_the_rest_when_it_is_given_back(machine):
    here = machine()
    here.touch(A)
    with here.models.use(B) as view:
        here.models.close()
        assert here.names == ["B"]
        assert view.weights() is not None
        with pytest.raises(ModelError, match="shutting down"):
            here.touch(A)
    assert here.names == []
    gc.collect()
    assert len(here.alive) == 0


def test_closing_wakes_those_who_wait(machine):
    here, slow = machine(), Slow()
    here.hooks["A"] = slow
    first = Visitor(here.models, A)
    assert slow.started.wait(60)
    second = Visitor(here.models, B)
    until(lambda: second.stages)
    here.models.close()
    assert isinstance(second.finish().error, ModelError)
    slow.go.set()
    assert first.has.wait(60)
    first.finish()
    assert here.names == []


# ── real memory ──────────────────────────────────────────────────────────────────────────────────


def real(choice, device, on_stage):
    """Load a model of a hundred 4 MB tensors, as small as most of a model's are."""
    import torch

    weights = FakeWeights(choice)
    weights.layers = [torch.full((1_000_000,), 1.0, device=device.name) for _ in range(100)]
    weights.memory_bytes = 400_000_000
    return weights


@pytest.mark.slow
def test_real_memory_comes_back():
    models = LoadedModels(load_settings(device="cpu"), real, lambda *_: None, lambda *_: ())
    process = psutil.Process()
    with models.use(A):  # the first brings torch with it
        pass
    models.unload(A)
    before = process.memory_info().rss
    with models.use(A) as view:
        weights = view.weights
        assert process.memory_info().rss - before > 350e6
    assert weights() is not None
    assert models.unload(A)
    assert weights() is None
    assert process.memory_info().rss - before < 100e6
    models.close()


def test_the_device_is_the_first_of_the_setting(monkeypatch):
    monkeypatch.setattr(
        in_memory, "devices", lambda settings: (CPU, GPU) if settings.device == "cpu,cuda" else ()
    )
    given = []

    def load(choice, device, on_stage):
        given.append(device)
        return FakeWeights(choice)

    models = LoadedModels(load_settings(device="cpu,cuda"), load, lambda *_: 1, lambda *_: ())
    with models.use(A):
        assert models.list()[0].device == "cpu"
    assert given == [CPU]
    models.close()


def cuda():
    import torch

    return torch.cuda.is_available()


@pytest.mark.skipif("not cuda()", reason="no CUDA GPU on this machine")
def test_real_memory_of_a_gpu_comes_back():
    settings = load_settings(device="cuda")
    device = devices(settings)[0]
    models = LoadedModels(settings, real, lambda *_: 400_000_000, lambda *_: ())
    with models.use(A):  # the first brings the context with it
        pass
    models.unload(A)
    release(device)
    before = free_bytes(device)
    with models.use(A):
        assert before - free_bytes(device) > 350e6
        assert models.unload(A) is False
    assert models.unload(A)
    assert before - free_bytes(device) < 50e6
    models.close()


@pytest.mark.skipif("not cuda()", reason="no CUDA GPU on this machine")
def test_a_real_gpu_that_is_full_makes_room_and_refuses_what_cannot_fit():
    settings = load_settings(device="cuda")
    device = devices(settings)[0]

    def load(choice, device, on_stage):
        import torch

        weights = FakeWeights(choice)
        weights.memory_bytes = int(device.total_bytes * 0.6)
        weights.layers = torch.empty(weights.memory_bytes, dtype=torch.uint8, device=device.name)
        return weights

    for known in (True, False):  # by counting, and by trying
        needed = (lambda *_: int(device.total_bytes * 0.6)) if known else (lambda *_: None)
        models = LoadedModels(settings, load, needed, lambda *_: ["pocket"])
        with models.use(A), pytest.raises(ModelMemoryError, match="would fit: pocket"), models.use(B):
            pass
        with models.use(B):
            assert [one.choice for one in models.list()] == [B]
        models.close()
