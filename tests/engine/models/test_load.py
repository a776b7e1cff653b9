"""Proves the way from a choice to a loaded model: its record, its errors in words, and no network."""

from __future__ import annotations

import gc
import json
import re
import shutil
import socket
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer

from engine.errors import (
    GapscopeError,
    ModelError,
    ModelKindError,
    ModelMemoryError,
    ModelOptionError,
    NotDownloadedError,
    RemoteCodeError,
    UnknownModelError,
    WeightsError,
)
from engine.models import load as module
from engine.models.base import ModelChoice, ModelSpec
from engine.models.catalog import describe
from engine.models.device import cpu, is_out_of_memory
from engine.models.hub import files
from engine.models.hub.embedder import tensor_bytes
from engine.models.in_memory import LoadedModels
from engine.models.load import Loader, whole_bytes
from engine.settings import load_settings
from tests.helpers.hub_models import MODELS, TEXTS, directly, far, ours, picture, same
from tests.helpers.tiny_models import BUILDERS, WIDTH

HUB_ID, COMMIT = "somebody/tiny-clip", "0123456789abcdef0123456789abcdef01234567"


class Here:
    """A loader and the models in memory over one data folder."""

    def __init__(self, folder: Path, **settings) -> None:
        chosen = load_settings(**{"data_dir": folder, "device": "cpu", **settings})
        self.loader, self.loads = Loader(chosen), []
        self.models = LoadedModels(
            chosen, self._load, self.loader.needs, self.loader.would_fit, self.loader.device_of
        )

    def _load(self, choice, device, on_stage):
        self.loads.append(choice)
        return self.loader.load(choice, device, on_stage)

    def use(self, choice: ModelChoice, kind: str = "embedder"):
        return self.models.use(self.loader.resolve(choice), kind)

    def text(self, choice: ModelChoice) -> np.ndarray:
        with self.use(choice) as model:
            return model.encode_query("text", TEXTS)


@pytest.fixture
def here(tmp_path):
    opened = Here(tmp_path)
    yield opened
    opened.models.close()


@pytest.fixture
def copy(tiny, tmp_path):
    """Return a function that gives a copy of a tiny checkpoint, to be damaged."""

    def of(name: str) -> Path:
        return shutil.copytree(tiny(name), tmp_path / "models" / name)

    return of


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return an empty Hugging Face cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(cache: Path, folder: Path, id_: str = HUB_ID, commit: str = COMMIT, ref: str = "main") -> Path:
    """Lay a model out as a download does; return its snapshot."""
    repo = cache / f"models--{id_.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True, exist_ok=True)
    (repo / "refs" / ref).write_text(commit, "utf-8")
    return shutil.copytree(folder, repo / "snapshots" / commit)


def change(path: Path, **fields) -> None:
    content = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**content, **fields}), "utf-8")


def choice(folder: Path, **fields) -> ModelChoice:
    return ModelChoice(str(folder), **fields)


# ── the record ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", MODELS)
def test_the_record_tells_all_that_shapes_a_vector(here, tiny, name):
    with here.use(choice(tiny(name))) as model:
        made_by = model.provenance
    assert made_by.model == str(tiny(name))
    assert made_by.revision == files.find(str(tiny(name))).revision
    assert made_by.revision.startswith("local-")
    assert (made_by.dim, made_by.dtype) == (WIDTH, "float32")
    library = SentenceTransformer(str(tiny(name)), device="cpu")
    assert made_by.query_prompt == library.prompts["query"]
    assert made_by.document_prompt == library.prompts["document"]
    limits = (256, 4_096) if name == "qwen_embedder" else (None, None)
    assert (made_by.min_pixels, made_by.max_pixels) == limits
    for package in ("sentence-transformers", "transformers", "torch", "pillow"):
        assert f"{package} {version(package)}" in made_by.libraries
    assert made_by.fingerprint


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("clip", {}),
        ("clap", {"dim": 8}),
        ("omni", {"dim": 16, "query_prompt": "", "document_prompt": "a song : "}),
        ("multilingual_clip", {"dtype": "bfloat16", "query_prompt": "red "}),
        ("qwen_embedder", {"dim": 4, "min_pixels": 300, "max_pixels": 900, "document_prompt": "x"}),
    ],
)
def test_a_record_gives_back_its_model_and_shares_the_weights(here, tiny, name, fields):
    rounding = 1e-2 if fields.get("dtype") == "bfloat16" else 1e-5  # batches may be cut elsewhere
    with here.use(choice(tiny(name), **fields)) as model:
        made_by, vectors = model.provenance, model.encode_query("text", TEXTS)
    with here.use(ModelChoice.of(made_by)) as again:
        assert again.provenance == made_by
        assert again.provenance.agrees_with(made_by)
        assert again.provenance.fingerprint == made_by.fingerprint
        assert same(again.encode_query("text", TEXTS), vectors, rounding)
    assert len(here.loads) == 1
    fresh = Here(here.loader._settings.data_dir)  # and so in another process
    with fresh.use(ModelChoice.of(made_by)) as again:
        assert (again.provenance, again.provenance.differences(made_by)) == (made_by, [])
        assert same(again.encode_query("text", TEXTS), vectors, rounding)
    fresh.models.close()


def test_choices_of_width_prompts_and_limits_share_one_copy(here, tiny):
    folder = tiny("qwen_embedder")
    options = [{}, {"dim": 8}, {"query_prompt": "a "}, {"document_prompt": ""}, {"max_pixels": 1_000}]
    records = set()
    for fields in options:
        with here.use(choice(folder, **fields)) as model:
            records.add(model.provenance)
    assert len(here.loads) == 1
    assert len(records) == len(options) - 1  # an empty document prompt is what the model has
    here.text(choice(folder, dtype="bfloat16"))
    assert len(here.loads) == 2


def test_what_the_catalog_says_goes_before_what_the_model_says(here, tiny, monkeypatch):
    known = ModelSpec(
        str(tiny("qwen_embedder")),
        "embedder",
        ("text", "image"),
        "MIT",
        "",
        query_prompt="a song : ",
        document_prompt="a book : ",
        min_pixels=400,
        max_pixels=1_600,
        dim=WIDTH,
        dims=(16, 8),
    )
    monkeypatch.setattr(module, "describe", lambda model: known)
    with here.use(choice(tiny("qwen_embedder"))) as model:
        made_by = model.provenance
        assert (made_by.query_prompt, made_by.document_prompt) == ("a song : ", "a book : ")
        assert (made_by.min_pixels, made_by.max_pixels) == (400, 1_600)
        library = SentenceTransformer(str(tiny("qwen_embedder")), device="cpu")
        wanted = directly(library, "query", "text", TEXTS, prompt="a song : ")
        assert same(model.encode_query("text", TEXTS), wanted)
    with (
        pytest.raises(ModelOptionError, match="width 12; it takes 32, 16, 8"),
        here.use(choice(tiny("qwen_embedder"), dim=12)),
    ):
        pass


def test_a_folder_is_the_same_model_however_it_is_named(here, tiny, monkeypatch):
    monkeypatch.chdir(tiny("clip").parent)
    assert here.loader.resolve(ModelChoice("./clip/")) == here.loader.resolve(choice(tiny("clip")))


@pytest.mark.parametrize("model", ["pocket", "pocket-reranker"])
def test_pocket_is_resolved_without_a_look_at_the_hub(here, model):
    resolved = here.loader.resolve(ModelChoice(model))
    assert resolved.id == model
    assert resolved.revision
    assert resolved.dtype
    assert here.loader.device_of(resolved).name == "cpu"
    assert here.loader.needs(resolved, cpu()) > 0


# ── kinds and modalities ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "kind"), [("text_reranker", "embedder"), ("qwen_reranker", "embedder"), ("clip", "reranker")]
)
def test_a_model_of_the_other_kind_is_refused(here, tiny, name, kind):
    with (
        pytest.raises(ModelKindError, match=f"this needs a model of kind '{kind}'"),
        here.use(choice(tiny(name)), kind),
    ):
        pass
    assert [one.in_use for one in here.models.list()] == [0]


def test_a_model_of_several_vectors_per_item_is_refused_unloaded(here, copy, monkeypatch):
    folder = copy("multilingual_clip")
    change(folder / "config_sentence_transformers.json", model_type="MultiVectorEncoder")
    monkeypatch.setattr(SentenceTransformer, "__init__", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(ModelKindError, match="'multi-vector'"):
        here.text(choice(folder))


@pytest.mark.parametrize(("name", "kind"), [("clip", "embedder"), ("text_reranker", "reranker")])
def test_a_model_without_any_modality_of_ours_is_refused(here, tiny, monkeypatch, name, kind):
    from sentence_transformers.base.modules import Transformer

    monkeypatch.setattr(Transformer, "modalities", property(lambda self: ["message", ("table", "text")]))
    with (
        pytest.raises(ModelError, match="takes none of text, image, audio, video, but message"),
        here.use(choice(tiny(name)), kind),
    ):
        pass
    assert here.models.list() == []


def test_code_of_a_models_own_is_refused_before_it_runs(here, copy, tmp_path):
    folder, ran = copy("clip"), tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Config: pass\n", "utf-8")
    change(folder / "config.json", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Config"})
    with pytest.raises(RemoteCodeError, match="brings Python code of its own"):
        here.text(choice(folder))
    assert not ran.exists()
    other = Here(tmp_path, remote_code=f"a/b, {folder}")
    assert other.loader._settings.allows_remote_code(str(folder))


# ── dtypes ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["clip", "qwen_embedder"])
def test_bfloat16_on_a_cpu_gives_unit_rows_of_float32(here, tiny, name):
    with here.use(choice(tiny(name), dtype="bfloat16")) as model, here.use(choice(tiny(name))) as exact:
        for modality, content in (("text", "a cat"), ("image", picture(1))):
            found = ours(model, "document", modality, [content])
            assert found.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
            wanted = ours(exact, "document", modality, [content])
            assert far(found, wanted)
            assert float(found[0] @ wanted[0]) > 0.98
        assert model.provenance.dtype == "bfloat16"
        assert model.provenance.differences(exact.provenance) == ["dtype 'bfloat16', not 'float32'"]
    half, whole = sorted(one.memory_bytes for one in here.models.list())
    assert half < 0.7 * whole


@pytest.mark.parametrize("dtype", ["float16", "int8", "no such type", ""])
def test_a_dtype_that_a_cpu_does_not_take_is_refused_in_words(here, tiny, dtype):
    wanted = choice(tiny("clip"), dtype=dtype)
    if dtype == "":
        assert here.loader.resolve(wanted).dtype == "float32"
        return
    for refused in (here.loader.resolve, lambda one: here.loader.load(one, cpu(), lambda stage: None)):
        with pytest.raises(ModelOptionError, match=f"dtype {dtype}; it takes float32 or bfloat16 on cpu"):
            refused(wanted)


# ── what can be wrong with files ─────────────────────────────────────────────────────────────────


WEIGHTS, TOKENIZER = "model.safetensors", ("tokenizer.json", "tokenizer_config.json")
UNREADABLE, ALIKE = r"cannot be loaded: .* Copy it again", "takes cat, dog, sky for the same: its tokenizer"
NO_MODULE = b'[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.no.Such"}]'


def without(*names: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    return act


def holding(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def cut(name: str, kept: float) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * kept)])

    return act


def saying(name: str, **fields) -> Callable[[Path], None]:
    return lambda folder: change(folder / name, **fields)


def altered(change_one: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / WEIGHTS
        tensors = {name: change_one(one) for name, one in load_file(path).items()}
        save_file(tensors, path, metadata={"format": "pt"})

    return act


garbled = altered(lambda one: np.full_like(one, np.nan))
of_other_shape = altered(lambda one: one[..., :-1].copy() if one.ndim else one)


def unknown_tokenizer(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    content["model"]["type"] = "OfTheFuture"
    (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")


FAULTS = {
    "no-config": ("clip", without("config.json"), "not a model: it has neither config.json nor modules.json"),
    "no-weights": ("clip", without(WEIGHTS), "missing: model.safetensors. Copy the folder again"),
    "cut-weights": ("clip", cut(WEIGHTS, 0.5), "cut short"),
    "cut-header": ("omni", cut(WEIGHTS, 0.01), "cut short"),
    "not-weights": ("clip", holding(WEIGHTS, b"\x10\0\0\0\0\0\0\0{not safetensors}"), "not a safetensors"),
    "pointer": ("clip", holding(WEIGHTS, b"version https://git-lfs.github.com/spec/v1"), "Git LFS"),
    "nan-weights": ("clip", garbled, "zero or not finite at float32. Copy it again"),
    "nan-reranker": ("text_reranker", garbled, "its files are damaged"),
    "other-shapes": ("clip", of_other_shape, "other shapes than its configuration says. Copy it again"),
    "cut-config": ("clip", cut("config.json", 0.5), "not readable as JSON"),
    "other-type": ("clip", saying("config.json", model_type="nonsense"), UNREADABLE),
    "odd-config": ("qwen_embedder", saying("config.json", text_config={"hidden_size": "wide"}), UNREADABLE),
    "no-tokenizer-clip": ("clip", without(*TOKENIZER), ALIKE),
    "no-tokenizer-clap": ("clap", without(*TOKENIZER), ALIKE),
    "no-tokenizer-bert": ("multilingual_clip", without(*TOKENIZER), ALIKE),
    "no-tokenizer-rerank": ("text_reranker", without(*TOKENIZER), ALIKE),
    "no-tokenizer-omni": ("omni", without(*TOKENIZER), UNREADABLE),
    "no-tokenizer-json": ("clip", without("tokenizer.json"), UNREADABLE),
    "cut-tokenizer": ("clip", cut("tokenizer.json", 0.5), UNREADABLE),
    "other-tokenizer": ("clip", unknown_tokenizer, UNREADABLE),
    "no-processor": ("clip", without("processor_config.json"), UNREADABLE),
    "odd-processor": ("clap", holding("processor_config.json", b"[]"), UNREADABLE),
    "bad-template": ("omni", holding("chat_template.jinja", b"{% for x %}"), UNREADABLE),
    "no-pooling": ("qwen_embedder", saying("1_Pooling/config.json", pooling_mode="no"), UNREADABLE),
    "odd-modules": ("multilingual_clip", holding("modules.json", b"{}"), "modules.json"),
    "unknown-module": (
        "multilingual_clip",
        holding("modules.json", NO_MODULE),
        "needs a package that is not",
    ),
}


@pytest.fixture(scope="module")
def settled(tiny, tmp_path_factory):
    """Return an owner of models with one in memory, and what that one makes of words."""
    opened = Here(tmp_path_factory.mktemp("settled"))
    yield opened, opened.text(choice(tiny("clip")))
    opened.models.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_files_are_told_in_one_sentence_with_the_fix(settled, copy, tiny, fault):
    here, before = settled
    name, damage, words = FAULTS[fault]
    folder = copy(name)
    damage(folder)
    kind = "reranker" if "rerank" in name else "embedder"
    with pytest.raises(GapscopeError, match=words) as raised, here.use(choice(folder), kind):
        pass
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 700
    assert same(here.text(choice(tiny("clip"))), before)  # what was loaded goes on working
    assert len(here.models.list()) == 1


def test_what_is_no_model_at_all_is_told(here, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.bin").write_bytes(b"x")
    with pytest.raises(WeightsError, match="is not a model: it has neither"):
        here.text(choice(tmp_path / "empty"))
    with pytest.raises(WeightsError, match=r"is a file\. Give the folder"):
        here.text(choice(tmp_path / "file.bin"))
    with pytest.raises(UnknownModelError, match="neither a folder here nor an id"):
        here.text(choice(tmp_path / "not" / "there"))


def test_files_that_changed_make_another_revision_and_the_loaded_model_works_on(here, copy):
    folder = copy("multilingual_clip")
    with here.use(choice(folder)) as model:
        before, vectors = model.provenance, model.encode_query("text", TEXTS)
        change(folder / "config_sentence_transformers.json", truncate_dim=WIDTH // 2)
        with here.use(choice(folder)) as other:
            assert other.provenance.dim == WIDTH // 2
            assert other.encode_query("text", TEXTS).shape == (5, WIDTH // 2)
            told = other.provenance.differences(before)
            assert [words.split()[0] for words in told] == ["revision", "dim"]
        assert same(model.encode_query("text", TEXTS), vectors)
    with pytest.raises(ModelOptionError, match="width 32; it takes 1 to 16"):
        here.text(ModelChoice.of(before))


def test_a_record_of_files_that_are_no_more_gives_what_is_there_and_says_so(here, copy):
    folder = copy("clip")
    with here.use(choice(folder)) as model:
        before, vectors = model.provenance, model.encode_query("text", TEXTS)
    altered(lambda one: one * 1.5 if one.ndim else one)(folder)
    with here.use(ModelChoice.of(before)) as again:
        (told,) = again.provenance.differences(before)
        assert told.startswith("revision 'local-")
        assert far(again.encode_query("text", TEXTS), vectors)


def test_a_revision_that_is_not_here_is_told(here, tiny, cache):
    with pytest.raises(ModelOptionError, match="does not take revision v2; it takes none"):
        here.text(choice(tiny("clip"), revision="v2"))
    put(cache, tiny("clip"))
    for revision in ("v2", "f" * 40, "../../x"):
        with pytest.raises(NotDownloadedError, match="engine download"):
            here.text(ModelChoice(HUB_ID, revision=revision))
    with pytest.raises(NotDownloadedError, match=f"Models that are here: pocket, {HUB_ID}"):
        here.text(ModelChoice("nobody/nothing"))


def test_a_model_of_the_hub_is_known_by_its_commit(here, tiny, cache):
    put(cache, tiny("clip"))
    put(cache, tiny("clip_saved"), commit="f" * 40, ref="v2")
    with here.use(ModelChoice(HUB_ID)) as model, here.use(ModelChoice(HUB_ID, revision="v2")) as other:
        assert (model.provenance.model, model.provenance.revision) == (HUB_ID, COMMIT)
        assert other.provenance.revision == "f" * 40
        assert not model.provenance.agrees_with(other.provenance)
    (cache / "models--somebody--tiny-clip" / "refs" / "main").unlink()  # later, the branch has gone on
    with here.use(ModelChoice.of(model.provenance)) as again:
        assert again.provenance == model.provenance
    assert len(here.loads) == 2


# ── memory ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), OSError(12, "x")]
)
def test_memory_that_runs_out_while_opening_is_told_as_that(here, tiny, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(SentenceTransformer, "__init__", fail)
    with pytest.raises(type(error)) as raised:
        here.loader.load(here.loader.resolve(choice(tiny("clip"))), cpu(), lambda stage: None)
    assert is_out_of_memory(raised.value)
    with pytest.raises(ModelMemoryError, match=r"on cpu, and .* GB are free"):
        here.text(choice(tiny("clip")))


def test_memory_that_runs_out_at_the_first_item_is_told_as_that(here, tiny, monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(SentenceTransformer, "encode", fail)
        with pytest.raises(ModelMemoryError):
            here.text(choice(tiny("clip")))
    assert here.models.list() == []
    assert here.text(choice(tiny("clip"))).shape == (5, WIDTH)


def test_what_a_model_needs_is_known_from_its_files(here, tiny):
    for name in BUILDERS:
        size = files.weight_bytes(tiny(name))
        wanted = here.loader.resolve(choice(tiny(name)))
        assert here.loader.needs(wanted, cpu()) == round(size * 1.2)
        assert here.loader.needs(replace(wanted, dtype="bfloat16"), cpu()) == round(size / 2 * 1.2)
    loaded = here.loader.load(wanted, cpu(), lambda stage: None)
    assert 0.7 * loaded.memory_bytes < here.loader.needs(wanted, cpu()) < 1.5 * loaded.memory_bytes


def test_the_models_that_fit_are_named(here):
    assert here.loader.would_fit(cpu(), 0) == []
    small = here.loader.would_fit(cpu(), 700_000_000)
    assert "pocket" in small
    assert "sentence-transformers/clip-ViT-B-32-multilingual-v1" not in small  # 0.65, and 0.73 for pictures
    everything = here.loader.would_fit(cpu(), 10**12)
    assert "Qwen/Qwen3-VL-Embedding-8B" in everything
    assert "vidore/colqwen2.5-v0.2" not in everything
    assert whole_bytes(describe("clip-ViT-B-32-multilingual-v1"), "float32") == 1_380_000_000
    assert whole_bytes(describe("nobody/nothing"), "float32") is None


def test_an_unloaded_model_is_gone_though_somebody_holds_a_view(here, tiny):
    with here.use(choice(tiny("omni"))) as held:
        network = weakref.ref(held._weights.tower("text"))
        assert not here.models.unload(here.loader.resolve(choice(tiny("omni"))))
    assert here.models.unload(here.loader.resolve(choice(tiny("omni"))))
    gc.collect()
    assert network() is None
    with pytest.raises(ModelError, match="was unloaded; ask again"):
        held.encode_query("text", ["a cat"])


# ── no network ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_no_model_asks_anybody_outside(tiny, cache, tmp_path, monkeypatch):
    asked = []

    def refuse(self, address):
        if self.family != socket.AF_UNIX:
            asked.append(address)
            raise OSError("no network")

    def unknown(*address, **_):
        asked.append(address)
        raise socket.gaierror("no network")

    folders = {name: tiny(name) for name in BUILDERS}
    for number, (name, folder) in enumerate(folders.items()):
        put(cache, folder, f"somebody/{name.replace('_', '-')}", f"{number:040x}")
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    started, here = time.perf_counter(), Here(tmp_path)
    for name in folders:
        kind = "reranker" if "rerank" in name else "embedder"
        with here.use(ModelChoice(f"somebody/{name.replace('_', '-')}"), kind) as model:
            assert model.modalities
    with pytest.raises(NotDownloadedError):
        here.text(ModelChoice("somebody/else"))
    assert asked == []
    assert time.perf_counter() - started < 60
    here.models.close()


# ── two models of one space ──────────────────────────────────────────────────────────────────────


@pytest.fixture
def pair(tiny, monkeypatch):
    """Return the spec of a text encoder whose pictures another model embeds."""
    known = ModelSpec(
        str(tiny("multilingual_clip")), "embedder", ("text",), "MIT", "", images_by=str(tiny("clip"))
    )
    monkeypatch.setattr(module, "describe", lambda id_: known if id_ == known.id else describe(id_))
    return known


def test_a_text_encoder_borrows_the_pictures_of_its_space(here, tiny, pair):
    with here.use(ModelChoice(pair.id)) as model:
        assert model.modalities == ("text", "image")
        assert model.image_side_px == 32
        pictures = [picture(seed) for seed in range(3)]
        words = SentenceTransformer(str(tiny("multilingual_clip")), device="cpu")
        clip = SentenceTransformer(str(tiny("clip")), device="cpu")
        assert same(ours(model, "query", "text", TEXTS), directly(words, "query", "text", TEXTS))
        assert same(ours(model, "document", "image", pictures), directly(clip, "document", "image", pictures))
        alone = model.encode_mixed("query", [[("text", "a cat")]])
        assert same(alone, ours(model, "query", "text", ["a cat"]))
        with pytest.raises(ModelError, match="cannot embed text with image"):
            model.encode_mixed("query", [[("text", "a cat"), ("image", pictures[0])]])
        made_by = model.provenance
    both = [files.find(str(tiny(name))).revision for name in ("multilingual_clip", "clip")]
    assert made_by.revision == "+".join(both)
    with here.use(ModelChoice.of(made_by)) as again:
        assert again.provenance == made_by
    assert len(here.loads) == 1
    assert here.models.list()[0].memory_bytes == tensor_bytes(words) + tensor_bytes(clip)


def test_both_models_of_a_space_count_for_memory(here, tiny, pair):
    needed = here.loader.needs(ModelChoice(pair.id), cpu())
    sizes = [files.weight_bytes(tiny(name)) for name in ("multilingual_clip", "clip")]
    assert needed == pytest.approx(sum(sizes) * 1.2, abs=2)


def test_a_space_lacks_what_embeds_its_pictures(here, pair, cache, monkeypatch):
    lacking = replace(pair, images_by="somebody/clip")
    monkeypatch.setattr(module, "describe", lambda id_: lacking if id_ == pair.id else describe(id_))
    with pytest.raises(NotDownloadedError, match="engine download somebody/clip"):
        here.loader.resolve(ModelChoice(pair.id))


def test_a_damaged_picture_model_of_a_space_is_named(here, copy, pair, monkeypatch):
    folder = copy("clip")
    without("processor_config.json")(folder)
    broken = replace(pair, images_by=str(folder))
    monkeypatch.setattr(module, "describe", lambda id_: broken if id_ == pair.id else describe(id_))
    with pytest.raises(WeightsError, match=f"^{re.escape(str(folder))} cannot be loaded"):
        here.text(ModelChoice(pair.id))
