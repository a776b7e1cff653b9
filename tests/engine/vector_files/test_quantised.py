"""Codes of a quantisation are never taken for cosines unasked, and unpacked as their makers mean them."""

from __future__ import annotations

import numpy as np
import pytest
from sentence_transformers.util.quantization import quantize_embeddings

from engine.errors import QuantisedVectorsError
from engine.vector_files.look import look
from engine.vector_files.reading import Reading, Unpack
from engine.vector_files.table import VectorFile
from engine.vectors import normalise
from tests.helpers.vector_files import FORMATS, columns, save

FLOATS = np.random.default_rng(0).normal(size=(40, 256)).astype(np.float32)
UNIT = normalise(FLOATS)


def written(path, codes: np.ndarray):
    return save(path, columns(len(codes), vector=codes))


def refused(path, unpack: Unpack = "", **options) -> str:
    with pytest.raises(QuantisedVectorsError) as caught:
        VectorFile(path, reading=Reading(unpack=unpack), **options)
    return str(caught.value)


def unpacked(path, unpack: Unpack, ranges: np.ndarray | None = None) -> np.ndarray:
    file = VectorFile(path, reading=Reading(unpack=unpack), ranges=ranges)
    assert file.check() == ()
    found = np.concatenate([page.vectors for page in file.batches()])
    assert found.shape[1] == file.dim and file.notes
    return found


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("precision", ["binary", "ubinary", "int8", "uint8"])
@pytest.mark.parametrize("dtype", [None, np.int64, np.float32])
def test_what_sentence_transformers_quantised_is_refused_in_words(tmp_path, suffix, precision, dtype):
    codes = quantize_embeddings(UNIT, precision)
    path = written(tmp_path / f"x{suffix}", codes.astype(dtype) if dtype else codes)
    said = refused(path)
    assert "codes of a quantisation, whose cosines mean nothing" in said
    assert "--unpack binary" in said and "--unpack int8" in said and "--unpack none" in said
    assert look(path, name="x").quantised
    assert np.array_equal(unpacked_none(path), codes)


def unpacked_none(path) -> np.ndarray:
    return np.concatenate(
        [page.vectors for page in VectorFile(path, reading=Reading(unpack="none")).batches()]
    )


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("precision", ["binary", "ubinary"])
@pytest.mark.parametrize("dtype", [None, np.int32, np.float32])
def test_packed_bits_are_the_signs_of_what_was_packed(tmp_path, suffix, precision, dtype):
    codes = quantize_embeddings(FLOATS, precision)
    path = written(tmp_path / f"x{suffix}", codes.astype(dtype) if dtype else codes)
    found = unpacked(path, "binary")
    assert found.shape == (40, 256) and np.array_equal(found, np.where(FLOATS > 0, 1, -1))


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_codes_with_their_ranges_are_what_was_quantised_but_for_half_a_step(tmp_path, precision):
    ranges = np.stack([UNIT.min(0), UNIT.max(0)])
    path = written(tmp_path / "x.npz", quantize_embeddings(UNIT, precision, ranges=ranges))
    found = unpacked(path, "int8", ranges)
    step = (ranges[1] - ranges[0]) / 255
    assert (np.abs(found - UNIT) <= step * 0.51 + 1e-6).all()
    assert (normalise(found) * UNIT).sum(1).min() > 0.9999
    with pytest.raises(Exception, match=r"they must be \(2, 256\)"):
        VectorFile(path, reading=Reading(unpack="int8"), ranges=ranges[:, :3])


def test_codes_of_one_scale_around_zero_keep_their_cosines(tmp_path):
    codes = np.round(UNIT / np.abs(UNIT).max() * 127).astype(np.int8)
    found = normalise(unpacked(written(tmp_path / "x.parquet", codes), "int8"))
    assert np.abs(found @ found.T - UNIT @ UNIT.T).max() < 0.02
    uint8 = written(tmp_path / "y.parquet", quantize_embeddings(UNIT, "uint8"))
    assert "no zero of their own, so that their --ranges are needed" in refused(uint8, "int8")


def test_what_cannot_be_codes_is_not_unpacked(tmp_path):
    assert "codes of no quantisation: leave --unpack out" in refused(
        written(tmp_path / "x.npz", UNIT), "binary"
    )
    high = written(tmp_path / "y.npz", np.full((3, 32), 300))
    assert "codes of no quantisation" in refused(high, "int8")
    low = written(tmp_path / "z.npz", np.arange(96).reshape(3, 32))
    assert "does not tell whether 128 was taken off" in refused(low, "binary")


@pytest.mark.parametrize(
    "rows",
    [
        np.arange(12).reshape(3, 4),  # few whole numbers, as somebody counts
        np.arange(3 * 41.0).reshape(3, 41),  # an eighth of no model's width
        np.eye(3, 64),  # and bits that are unpacked already
        np.where(FLOATS[:3] > 0, 1, -1).astype(np.int8),
        np.where(FLOATS[:3] > 0, 1, 0).astype(np.float32),
        FLOATS[:3, :64] * 100,
        np.arange(3 * 64).reshape(3, 64) * 2.0,  # up to 382, which no byte holds
    ],
)
def test_other_whole_numbers_are_vectors(tmp_path, rows):
    assert VectorFile(written(tmp_path / "x.npz", rows)).check() == ()


def test_a_bad_row_of_codes_is_named_and_the_others_are_unpacked(tmp_path):
    codes = [list(map(int, row)) for row in quantize_embeddings(FLOATS[:5], "ubinary")]
    codes[2] = codes[2][:-1]
    path = save(tmp_path / "x.parquet", columns(5, vector=codes))
    file = VectorFile(path, reading=Reading(unpack="binary"))
    [fault] = file.check(skip_bad=True)
    assert fault.row == 3 and "248 numbers, where the first vector of the file has 256" in str(fault)
    [page] = file.batches({3})
    assert np.array_equal(page.vectors, np.where(FLOATS[[0, 1, 3, 4]] > 0, 1, -1))
