"""Two towers trained on a collection's pairs, and kept: what they make of its items, as a new collection.

The training is `analysis/two_towers.py`, the file of the heads `models/towers/kept.py`; a collection is made
by them as by any other model (`ingest/reembed.py`), so that items, pairs, labels and media are the source's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.analysis.two_towers import EVERY, Snapshot, TowerSettings, Training
from engine.blas import one_thread
from engine.errors import CollectionError
from engine.ingest.reembed import check_reembedding, reembed
from engine.models.base import ModelChoice
from engine.models.catalog import TOWERS
from engine.models.lender import Models
from engine.models.pocket.recipe import FEATURES
from engine.models.towers import kept
from engine.models.towers.kept import Heads, TrainedOn
from engine.progress import Hooks, Progress, Watch
from engine.storage.data_folder import DataFolder
from engine.towers.features import PairFeatures, pair_features
from engine.types import IngestReport


@dataclass(frozen=True)
class TrainedTowers:
    """A training that has ended: what it was trained on, every snapshot in order, and the heads."""

    collection: str
    settings: TowerSettings
    features: PairFeatures = field(repr=False)
    snapshots: tuple[Snapshot, ...] = field(repr=False)
    heads: Heads = field(repr=False)


def train(
    folder: DataFolder,
    models: Models,
    collection: str,
    settings: TowerSettings,
    *,
    every: int = EVERY,
    on_snapshot: Callable[[Snapshot], None] = lambda snapshot: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> TrainedTowers:
    """Train two towers on the pairs of a collection; on_snapshot hears each snapshot as it is taken.

    Raises TowerError for too few pairs, CancelledError, and what `pair_features` raises.
    """
    features = pair_features(folder, models, collection, Hooks(on_progress, cancelled))
    training = Training(features.images, features.texts, settings)
    snapshots = []
    watch = Watch(lambda share: on_progress(Progress.of_share("Training", share)), cancelled)
    # Matrices this small gain little by a second thread, which waits by spinning: on two cores, beside a page
    # that draws what is trained, a training took three times as long.
    with one_thread():
        for snapshot in training.run(every=every, watch=watch):
            snapshots.append(snapshot)
            on_snapshot(snapshot)
    image, text = training.image_head, training.text_head
    trained_on = TrainedOn(
        collection=collection,
        pairs=len(training.trained),
        temperature=settings.temperature,
        start=settings.start,
        mismatched=settings.mismatched,
        steps=settings.steps,
        seed=settings.seed,
        features=FEATURES,
    )
    heads = Heads(trained_on, image.weights, image.bias, text.weights, text.bias)
    return TrainedTowers(collection, settings, features, tuple(snapshots), heads)


def keep(
    folder: DataFolder,
    models: Models,
    trained: TrainedTowers,
    into: str,
    *,
    accept_slow: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
    done_as: str | None = None,
) -> IngestReport:
    """Keep the heads as a model of the data folder, and all items of the source by it as a new collection.

    Raises CollectionError where `into` is the source or taken, ModalityError where the source has more than
    texts and pictures, and what `reembed` raises, which also tells what done_as is.
    """
    check_target(folder, trained.collection, into)
    revision = kept.keep(folder.settings.data_dir, into, trained.heads)
    return reembed(
        folder,
        models,
        trained.collection,
        ModelChoice(f"{TOWERS}{into}", revision=revision),
        into=into,
        accept_slow=accept_slow,
        on_progress=on_progress,
        cancelled=cancelled,
        done_as=done_as,
    )


def check_target(folder: DataFolder, collection: str, into: str) -> None:
    """Refuse a name for what is to be kept before anything is trained.

    Raises CollectionError, CollectionNameError, CollectionNotFoundError.
    """
    if into == collection:
        raise CollectionError(f"{into!r} is what the towers are trained on, and stays: choose a new name.")
    check_reembedding(collection, into, folder.store, folder.ledger)
