"""Writes rows as Parquet with the pictures inside, in the form of the Hugging Face datasets library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.datasets.columns import NAME_COLUMN
from engine.datasets.export_rows import DatasetRow, Tally, cells, column_names, path_of

_ROWS = 100  # of a row group, as that library writes pictures
_GROUP_BYTES = 64_000_000  # or this much of them
_DTYPES = {"text": "string", "whole": "int64", "real": "float64", "truth": "bool"}


class ParquetRows:
    """Writes rows one after the other; `kinds` are the other columns, with what they hold (`metadata.KINDS`).

    Columns: image (a struct of bytes and path, null for a text of its own), captions, labels, text (null for
    a picture), the others, and what Gapscope calls the item. Open it with `with`, and end with `finish`.
    Every method raises OSError where it cannot write.
    """

    def __init__(self, path: Path, kinds: Mapping[str, str]) -> None:
        from pyarrow import parquet

        self._kinds, self._names = kinds, column_names(kinds)
        self._schema = _schema({self._names[name]: kind for name, kind in kinds.items()})
        self._waiting: list[dict[str, object]] = []
        self._bytes = self._number = 0
        self._writer = parquet.ParquetWriter(path, self._schema, compression="snappy", use_dictionary=False)

    def __enter__(self) -> ParquetRows:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def file(self, row: DatasetRow, file: Path) -> None:
        """Write a file with what is said of it. Raises OSError, and UnknownFormatError for no known kind."""
        name, data = path_of(self._number + 1, row), file.read_bytes()
        self._add(row, {"image": {"bytes": data, "path": name}, "captions": list(row.captions)})
        self._bytes += len(data)
        if len(self._waiting) >= _ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def text(self, row: DatasetRow) -> None:
        """Write a text of its own."""
        self._add(row, {"captions": [], "text": row.text.decode()})
        if len(self._waiting) >= _ROWS:
            self._flush()

    def finish(self, title: str, tally: Tally) -> None:
        """Write what is left, and the footer, which has no place for words."""
        self._flush()
        self._writer.close()

    def _add(self, row: DatasetRow, own: Mapping[str, object]) -> None:
        self._number += 1
        others = cells(row, self._kinds, self._names)
        self._waiting.append({**own, "labels": list(row.labels), **others, NAME_COLUMN: row.name})

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, self._schema))
        self._waiting, self._bytes = [], 0


def _schema(others: Mapping[str, str]) -> Any:
    """Return the schema, with the features by which the datasets library knows the pictures."""
    import pyarrow as pa

    listed = pa.list_(pa.string())
    types = {"text": pa.string(), "whole": pa.int64(), "real": pa.float64(), "truth": pa.bool_()}
    fields = [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        *(("captions", listed), ("labels", listed)),
        ("text", pa.string()),
        *((name, types[kind]) for name, kind in others.items()),
        (NAME_COLUMN, pa.string()),
    ]
    plain = {"dtype": "string", "_type": "Value"}
    features: dict[str, object] = {
        "image": {"_type": "Image"},
        # "Sequence": releases before 4.0 do not know the "List" that later ones write.
        **{name: {"feature": plain, "_type": "Sequence"} for name in ("captions", "labels")},
        "text": plain,
        **{name: {"dtype": _DTYPES[kind], "_type": "Value"} for name, kind in others.items()},
        NAME_COLUMN: plain,
    }
    about = json.dumps({"info": {"features": features}})
    return pa.schema(fields, metadata={"huggingface": about})
