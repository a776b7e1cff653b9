"""Proves Pocket against independent computations in PyTorch, its conversion, and that it stands any input."""

import dataclasses
import functools
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from engine.errors import ModalityError, WeightsError
from engine.media.images import open_image
from engine.models.pocket import convert, recipe
from engine.models.pocket.convert import (
    FILES,
    REGION_FILES,
    converted_folder,
    ensure_converted,
    ensure_regions,
)
from engine.models.pocket.image import CROP_PX, RESIZE_PX, conse, prepare
from engine.models.pocket.labels import class_texts
from engine.models.pocket.recipe import RECIPE, package_file, verified
from engine.models.pocket.reranker.regions import RegionNetwork
from engine.models.pocket.runtime import Runner
from engine.settings import PROJECT_DIR
from engine.vectors import normalise

TEXTS = [
    "a cat",
    "",
    "Two dogs are running along the beach at sunset, chasing a red ball.",
    "word " * 400,
    "Füchse, œuvre, naïve",
    "quantum chromodynamics",
]
PHOTOS = sorted((PROJECT_DIR / "sample_data" / "photos").glob("*.jpg"))[::25]


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [open_image(path.read_bytes(), max_pixels=10**8)[0] for path in PHOTOS]


@pytest.fixture(scope="module")
def prepared(pictures) -> list[np.ndarray]:
    return [prepare(picture) for picture in pictures]


def reference_text(texts: list[str]) -> np.ndarray:
    """The model card's own recipe: BERT in PyTorch, mean over real tokens, unit length; one by one."""
    import torch
    from transformers import AutoTokenizer, BertModel

    folder = package_file(RECIPE.text, "weights").parent
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    bert = BertModel.from_pretrained(folder, local_files_only=True).eval()
    rows = []
    for text in texts:
        tokens = tokenizer([text], truncation=True, max_length=256, padding=False, return_tensors="pt")
        with torch.no_grad():
            hidden = bert(**tokens).last_hidden_state[0]
        rows.append(torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy())
    return np.array(rows)


def test_text_vectors_equal_pytorch(pocket):
    np.testing.assert_allclose(pocket.encode_document("text", TEXTS), reference_text(TEXTS), atol=1e-4)


def test_class_probabilities_equal_pytorch(pocket, prepared):
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(RECIPE.image["architecture"])
    network.load_state_dict(torch.load(package_file(RECIPE.image, "weights"), weights_only=True))
    pixels = torch.from_numpy(np.stack(prepared)).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = network.eval()((pixels.float() - 127) / 128).softmax(-1).numpy()
    found = pocket._images.probabilities(prepared)
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-4)


def test_pictures_are_recognised(pocket):
    """The whole way from a file to its neighbour among words: the right class among a few others."""
    words = ["a giant panda", "a fire truck", "a bicycle", "a strawberry"]
    names = ["giant-panda", "red-fire-truck", "bicycle", "strawberry"]
    files = [PROJECT_DIR / "sample_data" / "photos" / f"{name}.jpg" for name in names]
    contents = [open_image(path.read_bytes(), max_pixels=10**8)[0] for path in files]
    scores = pocket.encode_query("image", contents) @ pocket.encode_query("text", words).T
    assert scores.argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("modality", ["text", "image"])
def test_vectors_are_unit_float32_of_384(pocket, prepared, modality):
    vectors = pocket.encode_document(modality, TEXTS if modality == "text" else prepared)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS if modality == "text" else prepared), 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert pocket.encode_document(modality, []).shape == (0, 384)
    assert pocket.encode_document(modality, []).dtype == np.float32


@pytest.mark.slow
def test_a_vector_does_not_depend_on_its_batch(pocket, prepared):
    texts = [f"{'long ' * (n % 5 * 9)}text number {n}" for n in range(21)]
    for modality, contents in (("text", texts), ("image", prepared * 2)):
        together = pocket.encode_document(modality, contents)
        alone = np.concatenate([pocket.encode_document(modality, [one]) for one in contents])
        backwards = pocket.encode_document(modality, contents[::-1])[::-1]
        np.testing.assert_allclose(together, alone, atol=1e-4)
        np.testing.assert_allclose(together, backwards, atol=1e-4)


def test_questions_and_documents_meet_on_the_same_terms(pocket, pictures, prepared):
    np.testing.assert_allclose(
        pocket.encode_query("image", pictures[:3]), pocket.encode_document("image", prepared[:3]), atol=1e-4
    )
    np.testing.assert_allclose(
        pocket.encode_query("text", TEXTS), pocket.encode_document("text", TEXTS), atol=1e-6
    )


@pytest.mark.parametrize(
    "text",
    [
        "x" * 100_000,
        "word " * 20_000,
        " " * 5000,
        "\U0001f98a\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\x00\x01\x1b[31m\x7f",
        "日本語のテキスト" * 500,
        "مرحبا بالعالم",
        "नमस्ते दुनिया",
        "\u202eevil",
        "half a pair \ud800",
        os.fsdecode(b"caf\xe9"),
        "[CLS] [SEP] [PAD] [MASK]",
        "\ufffd\uffff",
    ],
    ids=lambda text: f"{len(text)} from U+{ord(text[0]):04X}",
)
def test_any_text_gets_a_vector(pocket, text):
    (vector,) = pocket.encode_query("text", [text])
    np.testing.assert_allclose(np.linalg.norm(vector), 1, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4000, 10), (10, 4000), (260, 260), (297, 297)])
def test_any_shape_gets_a_vector(pocket, size):
    picture = Image.new("RGB", size, "orange")
    assert prepare(picture).shape == (CROP_PX, CROP_PX, 3)
    np.testing.assert_allclose(np.linalg.norm(pocket.encode_query("image", [picture])), 1, atol=1e-5)


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_what_pocket_cannot_embed_is_refused_by_name(pocket, modality):
    for use in (pocket.encode_document, pocket.encode_query):
        with pytest.raises(ModalityError, match=f"pocket cannot embed {modality}; it embeds text, image"):
            use(modality, [b""])
    with pytest.raises(ModalityError):
        pocket.prepare(modality, b"")


@pytest.mark.slow
def test_eight_threads_get_the_same_vectors_as_one(pocket, prepared):
    jobs = [("text", [text, *TEXTS[:2]]) for text in TEXTS] + [("image", [one]) for one in prepared]
    serial = [pocket.encode_document(*job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda job: pocket.encode_document(*job), jobs * 2))
    for index, vectors in enumerate(parallel):
        np.testing.assert_allclose(vectors, serial[index % len(jobs)], atol=1e-5)


def test_prepare_equals_resizing_all_and_cutting_the_centre(pictures):
    for sharp in pictures:
        scale = RESIZE_PX / min(sharp.size)
        picture = sharp.filter(ImageFilter.GaussianBlur(2 / scale))  # the cut falls between two pixels
        whole = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC
        )
        left, top = (whole.width - CROP_PX) / 2, (whole.height - CROP_PX) / 2
        wanted = whole.transform(
            (CROP_PX, CROP_PX), Image.Transform.AFFINE, (1, 0, left, 0, 1, top), Image.Resampling.BILINEAR
        )
        difference = np.abs(prepare(picture).astype(float) - np.asarray(wanted, float))
        assert difference.mean() < 1
        assert np.quantile(difference, 0.999) < 8


def slow_conse(probabilities: np.ndarray, anchors: np.ndarray, top: int, sharpness: float) -> np.ndarray:
    rows = []
    for row in probabilities.astype(np.float64) ** sharpness:
        likeliest = sorted(range(len(row)), key=lambda index: -row[index])[:top]
        total = sum(row[index] for index in likeliest)
        mean = sum(row[index] / total * anchors[index].astype(np.float64) for index in likeliest)
        rows.append(mean / np.linalg.norm(mean))
    return np.array(rows)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    top=st.integers(1, 12),
    classes=st.integers(12, 60),
    sharpness=st.sampled_from([0.5, 0.6, 1.0, 2.0]),
)
def test_conse_equals_a_slow_loop(seed, top, classes, sharpness):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.3), size=4).astype(np.float32)
    anchors = normalise(rng.normal(size=(classes, 16)))
    found = conse(probabilities, anchors, top, sharpness=sharpness)
    np.testing.assert_allclose(found, slow_conse(probabilities, anchors, top, sharpness), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_conse_of_one_class_is_its_label(pocket):
    """P22 of GAP_SCIENCE: T = 1 gives the vector of the likeliest label."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(1000), size=5).astype(np.float32)
    anchors = pocket._images._anchors
    np.testing.assert_allclose(conse(probabilities, anchors, 1), anchors[probabilities.argmax(1)], atol=1e-6)


def test_conse_weights_are_a_mean():
    """P22: weights at least 0 that sum to 1, seen through anchors that do not overlap."""
    probabilities = np.random.default_rng(1).dirichlet(np.ones(20), size=50).astype(np.float32)
    vectors = conse(probabilities, np.eye(20, dtype=np.float32), 10)
    assert (vectors >= 0).all()
    assert ((vectors > 0).sum(1) == 10).all()
    top = -np.sort(-probabilities, axis=1)[:, :10]
    weights = -np.sort(-vectors / vectors.sum(1, keepdims=True), axis=1)[:, :10]
    np.testing.assert_allclose(weights, top / top.sum(1, keepdims=True), atol=1e-6)


def test_conse_of_sure_pictures_does_not_change_with_other_classes():
    anchors = normalise(np.random.default_rng(2).normal(size=(30, 8)))
    sure = np.zeros((1, 30), np.float32)
    sure[0, 7] = 1
    np.testing.assert_allclose(conse(sure, anchors, 10), anchors[[7]], atol=1e-6)


def test_a_thousand_classes_in_two_wordings():
    texts = class_texts()
    assert len(texts) == 1000
    assert all(len(row) == 2 and len(row[1]) == 1 for row in texts)
    assert texts[0][0] == ["a photo of a tench", "a photo of a Tinca tinca"]
    assert texts[0][1][0].startswith("tench, Tinca tinca: ")
    assert texts[999][0][0] == "a photo of a toilet tissue"


def test_anchors_are_the_mean_of_their_wordings(pocket):
    anchors = pocket._images._anchors
    assert anchors.shape == (1000, 384)
    for index in (0, 388, 999):
        total = np.zeros(384)
        for wording in class_texts()[index]:
            mean = sum(pocket.encode_document("text", [text])[0].astype(np.float64) for text in wording)
            total += mean / np.linalg.norm(mean)
        np.testing.assert_allclose(anchors[index], total / np.linalg.norm(total), atol=1e-4)


def test_weights_are_what_the_recipe_says():
    for part in (RECIPE.text, RECIPE.image):
        assert verified(part).is_file()
    assert RECIPE.text["sha256"].startswith("53aa51172d14")
    assert RECIPE.image["sha256"].startswith("9656183eaeaf")


def test_altered_weights_are_refused(tmp_path, monkeypatch):
    (tmp_path / "altered_package" / "model").mkdir(parents=True)
    (tmp_path / "altered_package" / "model" / "model.safetensors").write_bytes(b"not the weights")
    monkeypatch.syspath_prepend(tmp_path)
    part = {**RECIPE.text, "package": "altered_package"}
    with pytest.raises(
        WeightsError, match=r"SHA-256 \w{64}, but 53aa.* is wanted. Reinstall .* altered-package"
    ):
        verified(part)
    monkeypatch.setattr(convert, "RECIPE", dataclasses.replace(RECIPE, text=part))
    with pytest.raises(WeightsError, match="SHA-256"):
        convert.convert("towers", tmp_path / "models" / "pocket-x", lambda stage: None)
    assert not (tmp_path / "models" / "pocket-x").exists()


@pytest.mark.parametrize("change", [{"package": "no_such_package"}, {"weights": "other.bin"}])
def test_missing_weights_name_the_package_to_install(change):
    with pytest.raises(WeightsError, match=r"package \S+, which is not installed. Install what requirements"):
        verified({**RECIPE.text, **change})


def test_anything_that_shapes_a_vector_changes_the_revision(tmp_path, monkeypatch):
    text = recipe._FILE.read_text("utf-8")
    assert recipe._load().revision == RECIPE.revision
    for old, new in (
        ("a photo of a", "a picture of a"),
        ("297", "298"),
        ('"top_classes": 20', '"top_classes": 9'),
        ('"sharpness": 0.6', '"sharpness": 1.0'),
    ):
        changed = tmp_path / "recipe.json"
        changed.write_text(text.replace(old, new))
        monkeypatch.setattr(recipe, "_FILE", changed)
        assert recipe._load().revision != RECIPE.revision


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "engine.models.pocket.convert", "towers", str(folder)]


@pytest.mark.slow
def test_a_killed_conversion_is_made_again(tmp_path):
    folder = converted_folder(tmp_path)
    with subprocess.Popen(command(folder), cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            assert not folder.exists()
            if "picture tower" in line:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    (left,) = tmp_path.glob("*.partial")
    assert (left / "text.onnx").exists()
    assert not folder.exists()

    stages: list[str] = []
    with ThreadPoolExecutor(2) as pool:  # two that start together convert once
        assert list(pool.map(lambda _: ensure_converted(tmp_path, stages.append), range(2))) == [folder] * 2
    assert len(stages) == len(set(stages)) == 4
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [folder.name]


def test_the_regions_are_converted_beside_the_towers_and_once(models_dir):
    stages: list[str] = []
    folder = ensure_regions(models_dir, stages.append)
    assert folder.parent == models_dir.absolute()
    assert folder != converted_folder(models_dir)
    assert sorted(path.name for path in folder.iterdir()) == sorted(REGION_FILES)
    stages.clear()
    assert ensure_regions(models_dir, stages.append) == folder
    assert stages == []


@pytest.mark.parametrize("size", [(260, 260), (32, 64), (416, 288)])
def test_the_pooled_regions_equal_the_classifier_of_pytorch(models_dir, size):
    """The network cut before its pooling, at any size: mean features through the linear layer."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(RECIPE.image["architecture"])
    network.load_state_dict(torch.load(package_file(RECIPE.image, "weights"), weights_only=True))
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    with torch.no_grad():
        ready = (torch.from_numpy(pixels).permute(2, 0, 1)[None].float() - 127) / 128
        wanted = network.eval()(ready)[0].numpy()
    regions = RegionNetwork(ensure_regions(models_dir, print), np.eye(1000, 8, dtype=np.float32), 1)
    features = regions.features(pixels)
    assert features.shape == (1280, -(-size[0] // 32), -(-size[1] // 32))
    found = regions.logits(features.mean((1, 2)))
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    np.testing.assert_allclose(regions.probabilities(found).sum(), 1, atol=1e-5)


class Interpreter:
    """Stands for `python` with a program of its own in place of the conversion."""

    def __init__(self, folder: Path, script: str) -> None:
        self.path = folder / "python"
        self.path.write_text(f"#!/bin/sh\n{script}\n")
        self.path.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'stage: Converting'; kill -9 $$", "ended by signal 9 at 'Converting'"),
        ("kill -9 $$", "ended by signal 9 at 'its start'"),
        (
            "echo 'stage: A'; echo 'No module named onnx'; exit 1",
            "could not be converted: No module named onnx",
        ),
        ("exit 3", "exit status 3"),
    ],
)
def test_a_failed_conversion_says_why(tmp_path, monkeypatch, script, words):
    monkeypatch.setattr(convert.sys, "executable", str(Interpreter(tmp_path, script).path))
    with pytest.raises(WeightsError, match=words):
        ensure_converted(tmp_path / "models", lambda stage: None)
    assert not converted_folder(tmp_path / "models").exists()


def test_a_conversion_that_comes_second_keeps_the_first(tmp_path, monkeypatch, models_dir):
    """Left over from a killed app, it may finish while another one has finished already."""
    folder = tmp_path / "pocket-x"

    def first_wins(partial: Path) -> np.ndarray:
        shutil.copytree(converted_folder(models_dir), folder)
        return np.zeros((1, 1), np.float32)

    monkeypatch.setattr(
        convert, "_export", lambda module, example, path, sides=None: path.write_bytes(b"late")
    )
    monkeypatch.setattr(convert, "_image_module", lambda weights: None)
    monkeypatch.setattr(convert, "_text_module", lambda weights: None)
    monkeypatch.setattr(convert, "_anchors", first_wins)
    convert.convert("towers", folder, lambda stage: None)
    assert (folder / "text.onnx").stat().st_size > 1_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["pocket-x"]


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_a_broken_network_file_is_named_with_the_way_out(tmp_path, content):
    if content is not None:
        (tmp_path / "text.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match="Delete the folder"):
        Runner(tmp_path / "text.onnx", 1)


@functools.cache
def cold(models_dir: Path) -> set[str]:
    program = f"""
import sys
from pathlib import Path
from engine.models.catalog import POCKET
from engine.models.pocket.embedder import Pocket
pocket = Pocket.load(POCKET, Path({str(models_dir)!r}), 2, lambda stage: None)
assert pocket.encode_query("text", ["a cat"]).shape == (1, 384)
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_DIR, capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("library", ["torch", "transformers", "timm", "onnx", "chromadb", "streamlit"])
def test_a_cold_start_never_loads(models_dir, library):
    assert "onnxruntime" in cold(models_dir)
    assert library not in cold(models_dir)
