"""`export` and `import`: what goes out comes in, and bad rows are told."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.command_line import INGEST, document, error_line


def test_vectors_go_out_and_come_in(data_dir, cli, tmp_path):
    out, bad = tmp_path / "photos.parquet", tmp_path / "bad.npz"
    done = document(cli(data_dir, "export", "--collection", "photos", "--out", str(out), "--json"))
    assert (done["rows"], done["dim"], done["unrecorded"], done["path"]) == (24, 384, 0, str(out))
    taken = ("import", str(out), "--collection", "taken", "--model-label", "another program")
    report = document(cli(data_dir, *taken, "--json"))
    assert set(report) == INGEST and (report["stored"], report["failed"]) == (24, [])
    assert report["model"] == "imported: another program"
    said = cli(data_dir, *taken)
    assert said.stdout.startswith("0 vectors stored, 24 were there, 0 left out") and said.returncode == 0
    line = error_line(cli(data_dir, "search", "a dog", "--collection", "taken", "--json"))
    assert line.startswith("ImportedVectorsError: ") and "imported vectors (another program)" in line
    measured = document(cli(data_dir, "evaluate", "--collection", "taken", "--json"))
    direct = document(cli(data_dir, "evaluate", "--collection", "photos", "--json"))
    assert measured["queries"] == 12 and measured["metrics"] == pytest.approx(direct["metrics"], abs=0.1)
    np.savez(bad, id=["a", "b"], vector=np.array([[1.0] * 384, [0.0] * 384]), modality=["text", "text"])
    line = error_line(cli(data_dir, "import", str(bad), "--collection", "taken", "--json"))
    assert line.startswith("VectorFileError: bad.npz: 1 row is bad of 2") and "row 2, column vector" in line
    report = document(cli(data_dir, "import", str(bad), "--collection", "taken", "--skip-bad", "--json"))
    assert report["stored"] == 1 and [one["name"] for one in report["failed"]] == ["bad.npz, row 2"]
    np.savez(bad, key=["c"], embedding=np.ones((1, 384)), emb=np.ones((1, 384)), words=["a word"])
    line = error_line(cli(data_dir, "import", str(bad), "--collection", "taken", "--modality", "text"))
    assert "embedding and emb could each be the vector: choose one (--vector-column)" in line
    columns = ("--id-column", "key", "--vector-column", "emb", "--text-column", "words", "--modality", "text")
    report = document(cli(data_dir, "import", str(bad), "--collection", "taken", *columns, "--json"))
    assert report["stored"] == 1
    np.save(tmp_path / "text_emb_0.npy", np.random.default_rng(0).integers(0, 256, (1, 48)).astype(np.uint8))
    (tmp_path / "metadata_0.csv").write_text("caption\na photograph\n")
    array = ("import", str(tmp_path / "text_emb_0.npy"), "--collection", "taken")
    assert error_line(cli(data_dir, *array)).startswith(
        "QuantisedVectorsError: text_emb_0.npy: its vectors are"
    )
    said = cli(data_dir, *array, "--unpack", "binary")
    assert said.stdout.startswith("1 vectors stored") and "All rows are taken as text." in said.stdout
    assert "rows are called text_emb_0 row 1 and so on" in said.stdout
    said = cli(data_dir, "export", "--collection", "taken", "--out", str(tmp_path / "taken.npz"))
    assert said.stdout.startswith("27 vectors of 384 numbers written to ") and said.stderr == ""
    assert cli(data_dir, "delete", "--collection", "taken", "--yes").returncode == 0
