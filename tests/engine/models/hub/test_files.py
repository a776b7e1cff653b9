"""Proves that models on this machine are found offline, and that half of one is never taken for a whole."""

import json
import os
import shutil
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from engine.errors import ModelOptionError, NotDownloadedError, UnknownModelError, WeightsError
from engine.models.hub.files import (
    DamagedFileError,
    check_weights,
    find,
    hub_id,
    kind_of,
    local_models,
    missing_files,
    needs_remote_code,
    parameter_count,
    stored_dtype,
    weight_bytes,
)
from tests.helpers.fake_hub import commit, etag, names, write_model

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def put(cache: Path, id_: str, source: Path, revision: str = "main") -> str:
    """Lay a folder out in a cache as huggingface_hub does and return its commit."""
    repo, hash_ = cache / f"models--{id_.replace('/', '--')}", commit(source)
    for name in names(source):
        blob, link = repo / "blobs" / etag(source / name), repo / "snapshots" / hash_ / name
        for path in (blob, link):
            path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, blob)
        link.symlink_to(os.path.relpath(blob, link.parent))
    ref = repo / "refs" / revision
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(hash_)
    return hash_


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def write_modules(folder: Path, **types: str) -> None:
    """Write modules.json from the modules' folders and their classes; "root" is the model's own folder."""
    modules = [
        {"idx": number, "name": str(number), "path": "" if path == "root" else path, "type": type_}
        for number, (path, type_) in enumerate(types.items())
    ]
    write_json(folder / "modules.json", modules)


def sharded(folder: Path) -> Path:
    write_json(folder / "config.json", {"model_type": "tiny"})
    for number, name in enumerate(SHARDS):
        save_file({f"w{number}": np.ones(50, np.float16)}, folder / name)
    index = {"weight_map": {f"w{number}": name for number, name in enumerate(SHARDS)}}
    write_json(folder / "model.safetensors.index.json", index)
    return folder


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


# finding


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/7"])
def test_a_model_is_found_by_every_name_of_its_revision(tmp_path, cache, revision):
    hash_ = put(cache, "org/tiny", write_model(tmp_path / "m"), revision)
    for asked in (revision, hash_, *([None] if revision == "main" else [])):
        found = find("org/tiny", asked, cache_dir=cache)
        assert (found.id, found.revision, found.folder.name) == ("org/tiny", hash_, hash_)
        assert (found.folder / "model.safetensors").is_file()


def test_an_id_without_organisation_is_one_of_sentence_transformers(tmp_path, cache):
    put(cache, "sentence-transformers/clip-tiny", write_model(tmp_path / "m"))
    assert find("clip-tiny", cache_dir=cache).id == "sentence-transformers/clip-tiny"
    assert hub_id(" org/pasted\n") == "org/pasted"


def test_what_is_not_here_names_what_is(tmp_path, cache):
    put(cache, "org/here", write_model(tmp_path / "m"))
    with pytest.raises(
        NotDownloadedError, match=r"org/gone is not on this machine.*here: pocket, org/here"
    ) as error:
        find("org/gone", cache_dir=cache)
    assert error.value.local == ("pocket", "org/here")
    with pytest.raises(NotDownloadedError, match="here: named"):
        find("org/gone", local=lambda: ["named"], cache_dir=cache)


@pytest.mark.parametrize("revision", ["v2", "0" * 40, "../../blobs", "/etc/passwd", "a/../../../x"])
def test_a_revision_that_is_not_here_is_not_downloaded(tmp_path, cache, revision):
    put(cache, "org/tiny", write_model(tmp_path / "m"))
    with pytest.raises(NotDownloadedError):
        find("org/tiny", revision, cache_dir=cache)


@pytest.mark.parametrize(
    "model",
    [
        "",
        " ",
        "../x",
        "a/b/c",
        "a b",
        "-x",
        "org/.x",
        "x" * 300,
        "~nobody-at-all/x",
        "/no/folder",
        "a\0b",
        "o/é",
    ],
)
def test_what_can_be_no_id_is_told_so(model, cache):
    with pytest.raises(UnknownModelError, match="neither a folder here nor an id") as error:
        find(model, local=lambda: ["org/here"], cache_dir=cache)
    assert "org/here" in str(error.value)


def test_a_file_is_no_folder(tmp_path, cache):
    path = write_model(tmp_path / "m") / "model.safetensors"
    with pytest.raises(WeightsError, match=r"is a file. Give the folder"):
        find(str(path), cache_dir=cache)


def test_local_models_are_the_whole_ones(tmp_path, cache):
    assert local_models(cache) == []
    put(cache, "b/whole", write_model(tmp_path / "b"), "refs/pr/1")
    put(cache, "a/whole", sharded(tmp_path / "a"))
    put(cache, "a/half", sharded(tmp_path / "h"))
    next((cache / "models--a--half/snapshots").iterdir()).joinpath(SHARDS[1]).unlink()
    (cache / "models--no--snapshots").mkdir()
    (cache / "datasets--a--b/snapshots/x").mkdir(parents=True)
    assert local_models(cache) == ["a/whole", "b/whole"]


# completeness


def faults_of(make, tmp_path, cache) -> str:
    """Return what `find` says is missing of a model that `make` damaged, in a cache and in a folder."""
    put(cache, "org/tiny", sharded(tmp_path / "good"))
    snapshot = next((cache / "models--org--tiny/snapshots").iterdir())
    make(snapshot)
    with pytest.raises(NotDownloadedError, match="only partly here") as cached:
        find("org/tiny", cache_dir=cache)
    make(tmp_path / "good")
    with pytest.raises(WeightsError, match="is incomplete") as local:
        find(str(tmp_path / "good"))
    assert cached.value.missing in str(local.value)
    return cached.value.missing


def test_a_missing_shard_is_named(tmp_path, cache):
    assert faults_of(lambda folder: (folder / SHARDS[1]).unlink(), tmp_path, cache) == SHARDS[1]


def test_an_empty_file_is_named(tmp_path, cache):
    assert (
        faults_of(lambda folder: (folder / SHARDS[0]).write_bytes(b""), tmp_path, cache)
        == f"{SHARDS[0]} (empty)"
    )


@pytest.mark.parametrize("left", [1, 7, 20, 100])
def test_a_shard_cut_short_is_named(tmp_path, cache, left):
    def make(folder):
        (folder / SHARDS[0]).write_bytes((folder / SHARDS[0]).read_bytes()[:left])

    assert faults_of(make, tmp_path, cache).startswith(f"{SHARDS[0]} (")


def test_the_bytes_that_lack_are_counted(tmp_path, cache):
    whole = (sharded(tmp_path / "m") / SHARDS[0]).stat().st_size
    missing = faults_of(lambda folder: cut(folder / SHARDS[0], 10), tmp_path, cache)
    assert missing == f"{SHARDS[0]} (cut short: {whole - 10} of {whole} bytes)"


def test_a_link_whose_blob_is_gone_is_missing(tmp_path, cache):
    def make(folder):
        (folder / SHARDS[1]).unlink()
        (folder / SHARDS[1]).symlink_to("nowhere")

    assert faults_of(make, tmp_path, cache) == SHARDS[1]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"weight_map": {}}', '{"weight_map": 3}'])
def test_a_damaged_index_is_named(tmp_path, cache, content):
    name = "model.safetensors.index.json"
    assert faults_of(lambda folder: (folder / name).write_text(content), tmp_path, cache).startswith(name)


def test_a_missing_config_is_named(tmp_path, cache):
    put(cache, "org/tiny", write_model(tmp_path / "m"))
    next((cache / "models--org--tiny/snapshots").iterdir()).joinpath("config.json").unlink()
    with pytest.raises(NotDownloadedError) as error:
        find("org/tiny", cache_dir=cache)
    assert error.value.missing == "config.json"


def test_missing_weights_are_named(tmp_path):
    (write_model(tmp_path / "m") / "model.safetensors").unlink()
    assert missing_files(tmp_path / "m") == ["model.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_pointer_of_git_lfs_is_told(tmp_path, name):
    write_json(tmp_path / "config.json", {"a": 1})
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(WeightsError, match=r"a Git LFS pointer.*git lfs pull"):
        find(str(tmp_path))


def test_pickled_weights_are_checked_too(tmp_path):
    write_json(tmp_path / "config.json", {"a": 1})
    torch.save({"w": torch.zeros(1000)}, tmp_path / "pytorch_model.bin")
    assert missing_files(tmp_path) == []
    assert parameter_count(tmp_path) is None and stored_dtype(tmp_path) is None
    cut(tmp_path / "pytorch_model.bin", 100)
    assert missing_files(tmp_path) == ["pytorch_model.bin (cut short)"]


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_weights_or_told(tmp_path_factory, content, framed):
    path = tmp_path_factory.mktemp("any") / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(content)) + content if framed else content)
    with pytest.raises(DamagedFileError):
        check_weights(path)


@pytest.mark.parametrize(
    "header", [b'{"w": 1}', b"[]", b'{"w": {"data_offsets": [0]}}', b'{"w": {"data_offsets": [0, 0]}}']
)
def test_a_header_of_another_shape_is_told(tmp_path, header):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(DamagedFileError, match="not a safetensors file"):
        check_weights(path)


# modules


ST = "sentence_transformers.models"


@pytest.mark.parametrize("package", [ST, "sentence_transformers.base.modules.transformer"])
def test_modules_without_weights_need_none(tmp_path, package):
    write_model(tmp_path)
    write_modules(
        tmp_path,
        root=f"{package}.Transformer",
        **{"1_Pooling": f"{ST}.Pooling", "2_Normalize": f"{ST}.Normalize"},
    )
    assert missing_files(tmp_path) == []


def test_a_clip_folder_is_whole_with_the_weights_of_its_module(tmp_path):
    write_modules(tmp_path, **{"0_CLIPModel": f"{ST}.CLIPModel"})
    assert set(missing_files(tmp_path)) == {"0_CLIPModel/config.json", "0_CLIPModel/model.safetensors"}
    write_model(tmp_path / "0_CLIPModel", 7)
    assert missing_files(tmp_path) == []
    assert parameter_count(tmp_path) == 7


def test_a_dense_layer_needs_its_weights(tmp_path):
    write_model(tmp_path, 10)
    write_modules(tmp_path, root=f"{ST}.Transformer", **{"2_Dense": f"{ST}.Dense"})
    assert missing_files(tmp_path) == ["2_Dense/model.safetensors"]
    write_model(tmp_path / "2_Dense", 5)
    assert parameter_count(tmp_path) == 15


def test_the_modules_inside_a_router_are_looked_at(tmp_path):
    write_modules(tmp_path, root="sentence_transformers.base.modules.router.Router")
    write_json(tmp_path / "router_config.json", {"types": {"query_0_Transformer": f"{ST}.Transformer"}})
    assert missing_files(tmp_path) == [
        "query_0_Transformer/config.json",
        "query_0_Transformer/model.safetensors",
    ]
    write_model(tmp_path / "query_0_Transformer")
    assert missing_files(tmp_path) == []


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[{"path": ""}]'])
def test_a_damaged_list_of_modules_is_told(tmp_path, content):
    write_model(tmp_path)
    (tmp_path / "modules.json").write_text(content)
    with pytest.raises(WeightsError, match=r"missing: modules\.json \("):
        find(str(tmp_path))
    with pytest.raises(WeightsError, match=r"modules\.json"):
        weight_bytes(tmp_path)


def test_an_adapter_needs_its_base_and_foreign_code_its_repository(tmp_path, cache):
    adapter = tmp_path / "adapter"
    write_json(adapter / "adapter_config.json", {"base_model_name_or_path": "org/base"})
    save_file({"w": np.ones(3)}, adapter / "adapter_model.safetensors")
    write_json(adapter / "config.json", {"auto_map": {"AutoModel": "org/code--modeling.Tiny"}})
    put(cache, "org/adapter", adapter)
    with pytest.raises(NotDownloadedError, match=r"missing: org/base, org/code\)"):
        find("org/adapter", cache_dir=cache)
    put(cache, "org/base", write_model(tmp_path / "base"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code/modeling.py").write_text("pass")
    put(cache, "org/code", tmp_path / "code")
    assert find("org/adapter", cache_dir=cache).id == "org/adapter"


# local folders


def test_a_folder_is_found_and_its_revision_follows_its_weights(tmp_path):
    folder = write_model(tmp_path / "m", 1_000_000)
    first = find(str(folder))
    assert (first.id, first.folder) == (str(folder), folder)
    assert first.revision.startswith("local-") and len(first.revision) == 22
    (folder / ".cache").mkdir()
    (folder / ".cache/x").write_text("hidden files do not count")
    assert find(str(folder), first.revision) == first
    write_model(folder, 1_000_000, seed=1)
    assert find(str(folder)).revision != first.revision
    with pytest.raises(WeightsError, match="not those asked for any more"):
        find(str(folder), first.revision)


@pytest.mark.parametrize("place", [500, -1])
def test_a_change_at_either_end_of_a_large_file_counts(tmp_path, place):
    folder = write_model(tmp_path / "m", 1_000_000)
    first = find(str(folder)).revision
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[place] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert find(str(folder)).revision != first


def test_a_folder_has_no_branches(tmp_path):
    with pytest.raises(ModelOptionError, match="revision main"):
        find(str(write_model(tmp_path / "m")), "main")


def test_a_folder_may_be_named_from_home_or_from_here(tmp_path, monkeypatch):
    write_model(tmp_path / "m")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert find("~/m") == find("m") == find(str(tmp_path / "m"))


def test_a_folder_that_is_no_model_is_told(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"is not a model: it has neither config\.json nor modules\.json"):
        find(str(tmp_path))


# what the files say


def test_sizes_are_read_from_the_headers(tmp_path):
    folder = sharded(tmp_path / "m")
    assert weight_bytes(folder) == sum((folder / name).stat().st_size for name in SHARDS)
    assert (parameter_count(folder), stored_dtype(folder)) == (100, "float16")


def test_the_dtype_is_that_of_most_values(tmp_path):
    write_json(tmp_path / "config.json", {"a": 1})
    from safetensors.torch import save_file as save

    save({"a": torch.zeros(9, dtype=torch.bfloat16), "b": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    assert (parameter_count(tmp_path), stored_dtype(tmp_path)) == (13, "bfloat16")


def test_only_the_weights_that_would_be_loaded_are_counted(tmp_path):
    write_model(tmp_path, 10)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x" * 999)
    (tmp_path / "consolidated.safetensors").write_bytes(b"x" * 999)
    assert weight_bytes(tmp_path) == (tmp_path / "model.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("type_", "config", "needed"),
    [
        (f"{ST}.Transformer", {}, False),
        ("custom_st.Transformer", {}, True),
        ("sentence_transformers_evil.Transformer", {}, True),
        (f"{ST}.Transformer", {"auto_map": {"AutoModel": "modeling.Tiny"}}, True),
    ],
)
def test_code_of_its_own_is_seen(tmp_path, type_, config, needed):
    write_model(tmp_path)
    write_modules(tmp_path, root=type_)
    write_json(tmp_path / "config.json", {"model_type": "tiny", **config})
    assert needs_remote_code(tmp_path) is needed


def test_code_of_a_module_in_a_folder_is_seen(tmp_path):
    write_modules(tmp_path, **{"0_Transformer": f"{ST}.Transformer"})
    write_json(tmp_path / "0_Transformer/config.json", {"auto_map": {"AutoModel": "modeling.Tiny"}})
    assert needs_remote_code(tmp_path)


@pytest.mark.parametrize(
    ("type_", "classes", "kind"),
    [
        (None, ["BertModel"], "embedder"),
        (None, None, "embedder"),
        ("SentenceTransformer", ["BertModel"], "embedder"),
        (None, ["BertForSequenceClassification"], "reranker"),
        ("CrossEncoder", ["Qwen3VLForConditionalGeneration"], "reranker"),
        ("MultiVectorEncoder", ["ColQwen2"], "multi-vector"),
    ],
)
def test_the_kind_is_read(tmp_path, type_, classes, kind):
    write_json(tmp_path / "config.json", {"architectures": classes})
    if type_:
        write_json(tmp_path / "config_sentence_transformers.json", {"model_type": type_})
    assert kind_of(tmp_path) == kind
