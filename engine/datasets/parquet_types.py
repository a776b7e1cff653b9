"""What the columns of a Parquet of the datasets library are, by their types; opens none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.media.arrow import is_plain, is_text

if TYPE_CHECKING:
    import pyarrow as pa


def is_bytes(found: pa.DataType) -> bool:
    """Tell whether a column holds bytes."""
    from pyarrow import types

    return types.is_binary(found) or types.is_large_binary(found) or types.is_binary_view(found)


def _inner(found: pa.DataType) -> pa.DataType | None:
    from pyarrow import types

    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view)
    return found.value_type if any(is_kind(found) for is_kind in lists) else None


def is_vector(found: pa.DataType) -> bool:
    """Tell whether a column holds lists of numbers with fractions, or tensors."""
    from pyarrow import types

    if type(found).__name__ == "FixedShapeTensorType":
        return True
    inner = _inner(found)
    return inner is not None and types.is_floating(inner)


def is_readable(found: pa.DataType) -> bool:
    """Tell what can be a caption, a label or metadata: plain values, lists of them, and structs of texts."""
    from pyarrow import types

    if (inner := _inner(found)) is not None:
        return is_plain(inner) or (types.is_struct(inner) and _has_text(inner))
    return is_plain(found)


def _has_text(found: pa.DataType) -> bool:
    return any(is_text(one.type) for one in found)
