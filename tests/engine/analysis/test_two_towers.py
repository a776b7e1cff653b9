"""Two towers: the gradient is autograd's, the optimiser is PyTorch's, and the gap comes and goes as told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.analysis.gap import cone, unit
from engine.analysis.info_nce import loss_and_gradients
from engine.analysis.two_towers import (
    DIM,
    EDGES,
    TowerSettings,
    Training,
    mismatch,
    places,
    split,
)
from engine.errors import TowerError
from engine.progress import CancelledError, Watch
from engine.vectors import normalise


def features(pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs that share what they are of, far from zero: (n, 20) and (n, 12)."""
    chance = np.random.default_rng(0)
    shared = chance.normal(size=(pairs, 6))
    images = shared @ chance.normal(size=(6, 20)) + chance.normal(size=(pairs, 20)) / 4
    texts = shared @ chance.normal(size=(6, 12)) + chance.normal(size=(pairs, 12)) / 4
    return images + 4, texts + 4


def last(images: np.ndarray, texts: np.ndarray, **settings: object):
    return list(Training(images, texts, TowerSettings(**settings)).run(every=1_000))[-1]


def by_torch(images, texts, w, v, temperature):
    """Return the loss as PyTorch's own cross entropy has it, and the leaves of its gradients."""
    leaves = [torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in (w, v)]
    x, y = (
        torch.nn.functional.normalize(torch.tensor(rows) @ weights, dim=1)
        for rows, weights in zip((images, texts), leaves, strict=True)
    )
    scores, own = x @ y.T / temperature, torch.arange(len(images))
    loss = (
        torch.nn.functional.cross_entropy(scores, own) + torch.nn.functional.cross_entropy(scores.T, own)
    ) / 2
    return loss, leaves


@pytest.mark.parametrize("temperature", [0.005, 0.01, 0.07, 1.0])
def test_the_gradient_is_the_one_of_autograd(temperature):
    images, texts = features(30)
    chance = np.random.default_rng(1)
    w, v = chance.normal(size=(20, 8)), chance.normal(size=(12, 8))
    loss, by_w, by_v = loss_and_gradients(images, texts, w, v, temperature)
    wanted, leaves = by_torch(images, texts, w, v, temperature)
    wanted.backward()
    assert loss == pytest.approx(wanted.item(), abs=1e-6)
    assert np.abs(by_w - leaves[0].grad.numpy()).max() < 1e-6
    assert np.abs(by_v - leaves[1].grad.numpy()).max() < 1e-6
    assert np.abs(by_w).max() > 1e-3  # of a gradient that is there


def test_a_training_is_adam_as_its_paper_has_it_on_gradients_of_autograd():
    images, texts = features(30)
    training = Training(images, texts, TowerSettings(temperature=0.1, steps=20, held_out=0.0, seed=3))
    x, y = images[training.trained] / images.std(), texts[training.trained] / texts.std()
    chance = np.random.default_rng(3)
    weights = [chance.normal(size=(side, DIM)) / np.sqrt(side) for side in (20, 12)]
    mean, square = [0.0, 0.0], [0.0, 0.0]
    for step in range(1, 21):
        loss, leaves = by_torch(x, y, *weights, 0.1)
        loss.backward()
        for one, leaf in enumerate(leaves):
            gradient = leaf.grad.numpy() + 1e-4 * weights[one]
            mean[one] = 0.9 * mean[one] + 0.1 * gradient
            square[one] = 0.999 * square[one] + 0.001 * gradient**2
            root = np.sqrt(square[one] / (1 - 0.999**step)) + 1e-8
            weights[one] = weights[one] - 3e-3 * mean[one] / (1 - 0.9**step) / root
    list(training.run())
    for head, wanted, given in (
        (training.image_head, weights[0], images),
        (training.text_head, weights[1], texts),
    ):
        assert head.weights == pytest.approx(wanted / given.std(), abs=1e-6)
        assert not head.bias.any()


def test_a_gap_needs_a_cone_and_a_low_temperature():
    images, texts = features(80)
    kept = last(images, texts, temperature=0.01)
    closed = last(images, texts, temperature=0.5)
    centred = last(images, texts, temperature=0.01, start="centred")
    assert kept.l2m > 0.3 > 10 * closed.l2m
    assert centred.l2m < kept.l2m / 3
    assert kept.paired.mean < closed.paired.mean
    assert kept.cross_neighbours < 0.2 and closed.cross_neighbours > 0.4
    assert min(kept.trained.text_to_image, closed.trained.image_to_text) > 0.9


def test_snapshots_tell_of_the_true_pairs_what_the_gap_measures():
    images, texts = features(50)
    training = Training(images, texts, TowerSettings(steps=25, mismatched=0.5))
    found = list(training.run(every=10))
    assert [one.step for one in found] == [0, 10, 20, 25]
    end, x, y = (
        found[-1],
        *(
            unit(rows[training.trained] @ head.weights + head.bias)
            for rows, head in ((images, training.image_head), (texts, training.text_head))
        ),
    )
    n, scores = len(x), x @ y.T
    assert end.image_image.mean == pytest.approx(cone(x), abs=1e-5)
    assert end.text_text.mean == pytest.approx(cone(y), abs=1e-5)
    assert end.paired.mean == pytest.approx(np.trace(scores) / n, abs=1e-5)
    assert end.unpaired.mean == pytest.approx((scores.sum() - np.trace(scores)) / (n * n - n), abs=1e-5)
    # L2M² = C_ii + C_tt - 2 C_it, diagonals included
    whole = [(n - 1) / n * one.mean + 1 / n for one in (end.image_image, end.text_text)]
    assert end.l2m**2 == pytest.approx(sum(whole) - 2 * scores.mean(), abs=1e-5)
    counted = [one.counts.sum() for one in (end.paired, end.unpaired, end.image_image)]
    assert counted == [n, n * n - n, n * n - n]
    assert len(end.paired.counts) == len(EDGES) - 1
    assert (end.trained.n, end.held_out.n) == (n, len(training.held))
    assert end.trained.text_to_image == pytest.approx((scores.argmax(0) == np.arange(n)).mean())
    assert end.trained.image_to_text == pytest.approx((scores.argmax(1) == np.arange(n)).mean())


def test_one_plane_shows_every_step_and_the_whole_gap_of_the_one_it_is_of():
    images, texts = features(40)
    found = list(Training(images, texts, TowerSettings(steps=40)).run())
    for row in (0, -1):
        by = found[row]
        drawn = places(found, by)
        apart = [x.mean(0) - y.mean(0) for x, y in drawn]
        assert apart[row] == pytest.approx([by.l2m, 0.0], abs=1e-6)
        for one, distance in zip(found, apart, strict=True):  # a plane can only hide a distance
            assert np.linalg.norm(distance) <= one.l2m + 1e-6
        assert {rows.shape for pair in drawn for rows in pair} == {(len(found[0].images), 2)}


def test_mismatched_pairs_keep_no_text_of_their_own_and_cost_recall():
    partners = mismatch(50, TowerSettings(mismatched=0.4))
    assert (partners != np.arange(50)).sum() == 20 and sorted(partners) == list(range(50))
    assert (mismatch(50, TowerSettings()) == np.arange(50)).all()
    images, texts = features(50)
    assert last(images, texts, mismatched=0.4).trained.text_to_image < 0.8


def test_the_same_seed_is_the_same_training_and_another_is_another():
    images, texts = features(40)
    one, same, other = (last(images, texts, seed=seed, steps=30) for seed in (1, 1, 2))
    assert (one.loss, one.l2m) == (same.loss, same.l2m) and one.l2m != other.l2m
    assert (one.images == same.images).all()


def test_held_out_pairs_are_trained_by_nobody():
    trained, held = split(195, TowerSettings())
    assert (len(trained), len(held)) == (150, 45)
    assert sorted([*trained, *held]) == list(range(195))
    images, texts = features(40)
    spoilt = images.copy()
    rows = Training(images, texts, TowerSettings()).held
    spoilt[rows] = spoilt[rows][::-1]  # the same numbers, so that their spread is the same
    assert last(images, texts, steps=20).loss == last(spoilt, texts, steps=20).loss
    assert last(images, texts, steps=5, held_out=0.0).held_out is None


def test_a_cancel_ends_a_training():
    heard = []
    watch = Watch(heard.append, lambda: len(heard) > 12)
    with pytest.raises(CancelledError):
        list(Training(*features(40), TowerSettings()).run(watch=watch))
    assert len(heard) == 13 and heard == sorted(heard)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temperature": 0}, "The temperature is 0; it must be a number from 0.001 to 10.0."),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": "0.1"}, "temperature is '0.1'"),
        ({"start": "hot"}, "it must be one of cone, centred"),
        ({"mismatched": 1.1}, "share of mismatched pairs is 1.1"),
        ({"steps": 0}, "The number of steps is 0; it must be a whole number from 1 to 5,000."),
        ({"steps": 1.5}, "a whole number"),
        ({"seed": -1}, "seed is -1"),
        ({"held_out": 1.0}, "held-out share is 1.0"),
    ],
)
def test_settings_out_of_range_are_refused_in_words(settings, says):
    with pytest.raises(TowerError) as caught:
        TowerSettings(**settings)
    assert says in str(caught.value)


def test_features_that_teach_nothing_are_refused_in_words():
    images, texts = features(40)
    lost = np.where(np.eye(40, 20, dtype=bool), np.nan, images)
    empty = np.concatenate([images[:39], np.zeros((1, 20))])
    for given, says in (
        ((images[:3], texts[:3]), "3 pairs of a picture and its caption, 1 of them held out, are too few"),
        ((images, texts[:39]), "40 pictures and 39 texts are no pairs"),
        ((lost, texts), "no finite numbers"),
        ((np.ones((40, 5)), texts), "All features are the same"),
        ((empty, texts), "all their numbers are zero"),
    ):
        with pytest.raises(TowerError) as caught:
            Training(*given, TowerSettings())
        assert says in str(caught.value)
    with pytest.raises(TowerError):
        next(Training(images, texts, TowerSettings()).run(every=0))


def test_a_head_makes_the_vectors_of_the_training_also_where_it_was_centred():
    images, texts = features(40)
    training = Training(images, texts, TowerSettings(steps=10, start="centred"))
    end = list(training.run())[-1]
    x, y = (
        normalise(rows[training.trained] @ head.weights + head.bias)
        for rows, head in ((images, training.image_head), (texts, training.text_head))
    )
    assert np.linalg.norm(x.mean(0) - y.mean(0)) == pytest.approx(end.l2m, abs=1e-4)
    assert training.image_head.bias.any()
