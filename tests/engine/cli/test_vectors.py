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
    said = cli(data_dir, "export", "--collection", "taken", "--out", str(tmp_path / "taken.npz"))
    assert said.stdout.startswith("25 vectors of 384 numbers written to ") and said.stderr == ""
    assert cli(data_dir, "delete", "--collection", "taken", "--yes").returncode == 0
