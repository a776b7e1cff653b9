"""A collection's vectors as the modality gap takes them: apart by modality, with the pair of every id.

The Map page and the command line both come this way, so that they measure the same rows in the same order.
`analysis/gap.py` measures; nothing here is read from places on a map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.types import MODALITIES

if TYPE_CHECKING:
    from engine.storage.columns import Columns
    from engine.types import Modality, VectorTable


def gap_input(table: VectorTable, columns: Columns) -> tuple[dict[Modality, VectorTable], dict[str, int]]:
    """Return the rows of each modality that has some, in their order, and the number of every id's pair.

    Modalities are in the order of MODALITIES. Raises KeyError for an id that the columns lack.
    """
    modality_of = dict(zip(columns.ids, columns.modality, strict=True))
    ids: dict[Modality, list[str]] = {one: [] for one in MODALITIES}
    for id_ in table.ids:
        ids[modality_of[id_]].append(id_)
    tables = {one: table.take(some) for one, some in ids.items() if some}
    return tables, dict(zip(columns.ids, columns.pair.tolist(), strict=True))
