"""Brings the store up to what the ledger holds: after a crash, a damaged folder, a swap cut short."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.storage.chroma import Store
from engine.storage.ledger import Ledger
from engine.storage.library import Library
from engine.storage.staging import Key, Staging, Stagings, is_staging
from engine.types import Modality

_ROWS = 256


def repair(store: Store, ledger: Ledger, library: Library, on_stage: Callable[[str], None]) -> None:
    """Finish swaps, and complete the index where it holds less than the ledger.

    A collection that another model has made since, on a shared server, is left as it is; one that is
    still being made is left to its re-embedding, and what nobody makes any more goes. Raises StoreError or
    FolderError.
    """
    finish_swaps(store, ledger, library)
    if not store.is_shared:  # on a server it may be another data folder's
        for name in store.staged() - Stagings(ledger).names():
            store.drop(name)
    stored = {info.name: info for info in store.collections()}
    for (collection, modality), count in ledger.counts().items():
        info, made_by = stored.get(collection), ledger.provenance(collection)
        if is_staging(collection) or (info and made_by and not info.made_by.agrees_with(made_by)):
            continue
        if (info.counts.get(modality, 0) if info else 0) < count:
            on_stage(f"Rebuilding the index of {collection} ({count:,} {modality} items)")
            restore(collection, modality, store, ledger)


def finish_swaps(store: Store, ledger: Ledger, library: Library) -> None:
    """Let the store follow every swap that the ledger has made. Raises StoreError, FolderError."""
    stagings = Stagings(ledger)
    for swap in stagings.swaps():
        store.swap(swap.name, swap.target, swap.replaces)
        for modality, ids in by_modality(swap.gone).items():
            again = ledger.known(swap.target, modality, ids)  # somebody has added it once more
            store.delete_items(swap.target, [id_ for id_ in ids if id_ not in again])
        delete_unused(swap.media, ledger, library)
        stagings.end_swap(swap)


def by_modality(keys: Iterable[Key]) -> dict[Modality, list[str]]:
    """Return the ids of these keys, by modality."""
    ids: dict[Modality, list[str]] = {}
    for modality, id_ in keys:
        ids.setdefault(modality, []).append(id_)
    return ids


def drop_staging(staging: Staging, store: Store, ledger: Ledger, library: Library) -> None:
    """Delete what an unfinished re-embedding has made so far. Raises StoreError, FolderError.

    Its record goes last: cut off half-way, it can be dropped again.
    """
    media = ledger.forget(staging.name)
    store.drop(staging.name)
    delete_unused(media, ledger, library)
    Stagings(ledger).end(staging)


def delete_unused(media: Iterable[str], ledger: Ledger, library: Library) -> None:
    """Delete media that nothing refers to (any more: somebody may have stored one again meanwhile)."""
    for one in media:
        if not ledger.is_used(one):
            library.delete(one)


def restore(collection: str, modality: Modality, store: Store, ledger: Ledger) -> int:
    """Put back what the ledger holds and the store has lost, without embedding; returns how many.

    Takes nothing away: other processes may keep rows of their own in the same collection of a server.
    """
    made_by = ledger.provenance(collection)
    if made_by is None:
        return 0
    total = 0
    for items, table in ledger.pages(collection, modality, rows=_ROWS):
        stored = store.existing(collection, modality, table.ids)
        lost = [item for item in items if item.id not in stored]
        store.upsert(collection, made_by, modality, lost, table.take(item.id for item in lost))
        total += len(lost)
    return total


def rebuild(collection: str, modality: Modality, store: Store, ledger: Ledger) -> int:
    """Make the index of one modality again from the ledger, without embedding; returns its size."""
    made_by = ledger.provenance(collection)
    if made_by is None:
        return 0
    store.delete_part(collection, modality)
    total = 0
    for items, table in ledger.pages(collection, modality, rows=_ROWS):
        store.upsert(collection, made_by, modality, items, table)
        total += len(items)
    return total
