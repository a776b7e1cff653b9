"""Proves that the catalog's promises are those of the models, and that an unknown id lists the known ones."""

import re

import pytest

from engine.errors import UnknownModelError
from engine.models.catalog import (
    CATALOG,
    DEFAULT_MODEL,
    DEFAULT_RERANKER,
    POCKET,
    POCKET_RERANKER,
    describe,
    get_spec,
    missing_packages,
    read_catalog,
)
from engine.models.pocket.reranker.recipe import PROVENANCE
from engine.types import MODALITIES

# What sentence-transformers 5.4 to 6.x can load, by kind; each is promised in the README.
EMBEDDERS = [
    "sentence-transformers/clip-ViT-B-32",
    "sentence-transformers/clip-ViT-B-16",
    "sentence-transformers/clip-ViT-L-14",
    "sentence-transformers/clip-ViT-B-32-multilingual-v1",
    "Qwen/Qwen3-VL-Embedding-2B",
    "Qwen/Qwen3-VL-Embedding-8B",
    "nvidia/llama-nemotron-embed-vl-1b-v2",
    "nvidia/omni-embed-nemotron-3b",
    "BAAI/BGE-VL-base",
    "BAAI/BGE-VL-large",
    "BAAI/BGE-VL-MLLM-S1",
    "BAAI/BGE-VL-MLLM-S2",
    "google/embeddinggemma-2",
    "LCO-Embedding/LCO-Embedding-Omni-3B",
    "LCO-Embedding/LCO-Embedding-Omni-3B-2605",
    "LCO-Embedding/LCO-Embedding-Omni-7B",
    "jinaai/jina-embeddings-v5-omni-nano",
    "jinaai/jina-embeddings-v5-omni-small",
]
MULTI_VECTOR = ["vidore/colqwen2.5-v0.2", "vidore/colSmol-256M", "ModernVBERT/colmodernvbert"]
RERANKERS = [
    "Qwen/Qwen3-VL-Reranker-2B",
    "Qwen/Qwen3-VL-Reranker-8B",
    "nvidia/llama-nemotron-rerank-vl-1b-v2",
    "jinaai/jina-reranker-m0",
    "Qwen/Qwen3-Reranker-0.6B",
    "Qwen/Qwen3-Reranker-4B",
    "Qwen/Qwen3-Reranker-8B",
    "mixedbread-ai/mxbai-rerank-base-v2",
    "mixedbread-ai/mxbai-rerank-large-v2",
    "cross-encoder/ms-marco-MiniLM-L6-v2",
]
REMOTE_CODE = {
    *("BAAI/BGE-VL-base", "BAAI/BGE-VL-large", "BAAI/BGE-VL-MLLM-S1", "BAAI/BGE-VL-MLLM-S2"),
    *("jinaai/jina-embeddings-v5-omni-nano", "jinaai/jina-embeddings-v5-omni-small"),
    *("jinaai/jina-reranker-m0", "nvidia/llama-nemotron-rerank-vl-1b-v2"),
    *("nvidia/llama-nemotron-embed-vl-1b-v2", "nvidia/omni-embed-nemotron-3b"),
}
EMBEDDED = [POCKET, POCKET_RERANKER]
HUB_ROWS = [spec for spec in CATALOG.values() if spec not in EMBEDDED]

ROW = """
[[model]]
id = "somebody/some-model"
kind = "embedder"
modalities = ["text", "image"]
licence = "MIT"
note = "For a test."
"""


def test_the_embedded_models_are_first_and_the_hub_follows():
    assert list(CATALOG.values())[:2] == EMBEDDED
    assert {spec.id for spec in HUB_ROWS} == {*EMBEDDERS, *MULTI_VECTOR, *RERANKERS}


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        ("embedder", ["pocket", *EMBEDDERS]),
        ("multi-vector", MULTI_VECTOR),
        ("reranker", ["pocket-reranker", *RERANKERS]),
    ],
)
def test_every_promised_model_is_there_and_of_its_kind(kind, ids):
    assert {spec.id for spec in CATALOG.values() if spec.kind == kind} == set(ids)


@pytest.mark.parametrize("spec", CATALOG.values(), ids=CATALOG)
def test_every_entry_is_complete(spec):
    assert CATALOG[spec.id] is spec
    assert spec.modalities
    assert set(spec.modalities) <= set(MODALITIES)
    assert "text" in spec.modalities
    assert spec.licence.strip()
    assert spec.note.strip()
    assert "\n" not in spec.note
    assert len(spec.note) <= 110


@pytest.mark.parametrize("spec", CATALOG.values(), ids=CATALOG)
def test_every_entry_agrees_with_itself(spec):
    assert (spec.memory_gb is None) == (spec.parameters is None)
    assert spec.parameters is None or spec.parameters > 0
    assert spec.dim is None or spec.dim > 0
    assert not spec.dims or spec.dim is not None
    assert list(spec.dims) == sorted(set(spec.dims), reverse=True)
    assert all(0 < dim < spec.dim for dim in spec.dims)
    assert (spec.min_pixels or 1) <= (spec.max_pixels or float("inf"))
    if spec.kind == "reranker":
        assert spec.dim is None


@pytest.mark.parametrize("spec", HUB_ROWS, ids=lambda spec: spec.id)
def test_a_hub_model_has_its_weights_in_memory(spec):
    """The memory is at least that of the weights at the type they are loaded in, and not absurd."""
    assert spec.runner == "sentence-transformers"
    weights_gb = spec.parameters * {"float32": 4, "bfloat16": 2}[spec.gpu_dtype] / 1e9
    assert weights_gb < spec.memory_gb < 2 * weights_gb + 0.1


@pytest.mark.parametrize("spec", HUB_ROWS, ids=lambda spec: spec.id)
def test_what_must_not_be_sold_says_so(spec):
    restricted = re.search(r"\bNC\b|non-?commercial|research", spec.licence, re.IGNORECASE)
    assert bool(restricted) == ("non-commercial" in spec.note)


def test_a_text_only_embedder_names_who_embeds_its_pictures():
    text_only = [spec for spec in HUB_ROWS if spec.kind == "embedder" and spec.modalities == ("text",)]
    assert [spec.id for spec in text_only] == ["sentence-transformers/clip-ViT-B-32-multilingual-v1"]
    assert [spec.id for spec in HUB_ROWS if spec.images_by] == [text_only[0].id]
    images_by = get_spec(text_only[0].images_by)
    assert images_by.id == "sentence-transformers/clip-ViT-B-32"
    assert (images_by.dim, "image" in images_by.modalities) == (text_only[0].dim, True)


def test_no_reranker_reads_sound():
    assert all("audio" not in get_spec(model).modalities for model in RERANKERS)


def test_remote_code_is_asked_for_exactly_where_a_model_brings_it():
    assert {spec.id for spec in CATALOG.values() if spec.remote_code} == REMOTE_CODE


def test_the_defaults_are_in_the_catalog_and_run_here():
    assert get_spec(DEFAULT_MODEL) is POCKET
    assert get_spec(DEFAULT_RERANKER) is POCKET_RERANKER
    assert [(spec.runner, spec.kind, missing_packages(spec)) for spec in EMBEDDED] == [
        ("pocket", "embedder", []),
        ("pocket", "reranker", []),
    ]


def test_the_embedded_reranker_is_what_its_recipe_says():
    made_by = (POCKET_RERANKER.id, POCKET_RERANKER.revision)
    assert made_by == (PROVENANCE.model, PROVENANCE.revision)
    assert POCKET_RERANKER.revision != POCKET.revision
    assert (POCKET_RERANKER.modalities, POCKET_RERANKER.dim) == (("text", "image"), None)
    assert POCKET_RERANKER.packages == ("rapidocr",)


@pytest.mark.parametrize(
    "name", ["clip-ViT-B-32", "clip-ViT-B-16", "clip-ViT-L-14", "clip-ViT-B-32-multilingual-v1"]
)
def test_the_organisation_may_be_left_out_as_in_sentence_transformers(name):
    assert get_spec(name) is get_spec(f"sentence-transformers/{name}")


@pytest.mark.parametrize(
    "model",
    ["", "nothing", "POCKET", "Qwen3-VL-Embedding-2B", "sentence-transformers/pocket", "clip-vit-b-32"],
)
def test_an_unknown_model_lists_the_known_and_is_described_all_the_same(model):
    with pytest.raises(
        UnknownModelError, match="Known models: pocket, pocket-reranker, sentence-transformers/clip"
    ):
        get_spec(model)
    assert (describe(model).id, describe(model).modalities) == (model, ())


def test_a_folder_is_the_same_model_wherever_it_is_named_from(tmp_path, monkeypatch):
    (tmp_path / "my-model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert describe("my-model").id == describe("./my-model/").id == str(tmp_path / "my-model")
    assert describe("pocket") is POCKET


def test_the_loaded_model_is_what_the_catalog_says(pocket):
    assert pocket.spec is POCKET
    assert pocket.image_side_px > 0
    assert pocket.encode_query("text", ["a cat"]).shape == (1, POCKET.dim)


def test_a_row_becomes_a_spec_and_keeps_what_is_not_said_unknown():
    (spec,) = read_catalog(ROW + "dim = 64\ndims = [32, 16]\nmemory_gb = 2\n")
    assert (spec.id, spec.modalities, spec.dims) == ("somebody/some-model", ("text", "image"), (32, 16))
    assert spec.memory_gb == 2.0
    assert (spec.parameters, spec.revision, spec.remote_code, spec.packages) == (None, None, False, ())


def test_an_empty_catalog_has_no_models():
    assert read_catalog("") == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ROW + "dimensions = 64", "somebody/some-model: unknown fields ['dimensions']"),
        (ROW.replace('licence = "MIT"\n', ""), "somebody/some-model: missing fields ['licence']"),
        (ROW.replace('id = "somebody/some-model"\n', ""), "a row without id: missing fields ['id']"),
        (ROW.replace('"image"', '"smell"'), "must be out of text, image, audio, video"),
        (ROW.replace('"image"', '"text"'), "must be a list without repetition"),
        (ROW.replace('["text", "image"]', "[]"), "must be a list that is not empty"),
        (ROW.replace('["text", "image"]', '"text"'), "must be a list that is not empty"),
        (ROW.replace('"embedder"', '"embeder"'), "must be one of embedder, reranker, multi-vector"),
        (ROW + 'runner = "onnx"', "must be one of pocket, towers, sentence-transformers"),
        (ROW + 'dim = "64"', "dim is '64', but must be of type int"),
        (ROW + "dim = true", "dim is True, but must be of type int"),
        (ROW + "dims = [32.0]", "must be a list of int"),
        (ROW + "packages = [1]", "must be a list of str"),
        (ROW + 'memory_gb = "much"', "must be a number"),
        (ROW + "remote_code = 1", "must be of type bool"),
        (ROW + "revision = 1", "must be of type str"),
        (ROW + ROW, "somebody/some-model is in the catalog more than once"),
        (ROW.replace("somebody/some-model", "pocket"), "pocket is in the catalog more than once"),
        (
            ROW.replace("somebody/some-model", "pocket-reranker"),
            "pocket-reranker is in the catalog more than once",
        ),
        (ROW + 'images_by = "nobody/nothing"', "images_by names nobody/nothing, which is not in the catalog"),
        ("[[models]]\n" + ROW, "a catalog has [[model]] tables only, not ['models']"),
        (ROW + "dim = ", "Invalid value"),
    ],
)
def test_a_malformed_catalog_fails_loudly(text, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        read_catalog(text)
