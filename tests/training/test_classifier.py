"""Training of attribute classifiers: what is learnt, what is held out, and what an interruption leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sgcli.data.dataset import Attributes
from sgcli.errors import Interrupted, UsageError
from sgcli.models.registry import build_network
from sgcli.training import classifier
from sgcli.training.classifier import Recipe, cross_entropy, specify, split_dataset, train_classifiers

CPU = torch.device("cpu")


class Squares:
    """Noise of 8², on which a bright or a dark square lies; the second attribute is chance."""

    resolution, num_channels, num_images = 8, 1, 200

    def __init__(self):
        rng = np.random.default_rng(0)
        values = rng.integers(0, 2, [self.num_images, 2])
        self.attributes = Attributes(["bright", "chance"], values.astype(np.float32))
        self._pixels = rng.integers(100, 156, [self.num_images, 1, 8, 8]).astype(np.uint8)
        self._pixels[:, :, 2:6, 2:6] = np.where(values[:, 0], 200, 50)[:, None, None, None]

    def images(self, rows):
        return self._pixels[rows]


def test_what_can_be_seen_is_learnt_and_chance_is_not():
    trained, stopped = train_classifiers(Squares(), [["bright"], ["chance"]], Recipe(640), CPU)
    assert stopped is None
    assert [one.attributes for one in trained] == [["bright"], ["chance"]]
    assert trained[0].accuracy == [1.0]
    assert trained[1].accuracy[0] < 0.9
    assert trained[0].num_images == 640


def test_one_network_for_several_attributes_and_the_same_again():
    first, _ = train_classifiers(Squares(), [["bright", "chance"]], Recipe(320), CPU)
    second, _ = train_classifiers(Squares(), [["bright", "chance"]], Recipe(320), CPU)
    assert first[0].accuracy[0] == 1.0
    for a, b in zip(first[0].network.parameters(), second[0].network.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("ending", "status"), [(KeyboardInterrupt(), 130), (Interrupted(15), 143)])
def test_an_interruption_leaves_what_was_learnt(monkeypatch, ending, status):
    steps = []

    def interrupt(logits, targets):
        steps.append(1)
        if len(steps) > 5:
            raise ending
        return cross_entropy(logits, targets)

    monkeypatch.setattr(classifier, "cross_entropy", interrupt)
    trained, stopped = train_classifiers(Squares(), [["bright"], ["chance"]], Recipe(640), CPU)
    assert stopped is not None and stopped.exit_status == status
    assert [(one.attributes, one.num_images) for one in trained] == [(["bright"], 80)]


def test_the_split_keeps_a_tenth_apart():
    split = split_dataset(100, seed=0)
    assert len(split.held_out) == 10
    assert sorted([*split.train, *split.held_out]) == list(range(100))
    assert len(split_dataset(2, seed=0).held_out) == 1
    assert not np.array_equal(split.held_out, split_dataset(100, seed=1).held_out)
    with pytest.raises(UsageError, match="two or more"):
        split_dataset(1, seed=0)


def test_the_network_is_the_published_one_at_256():
    network = build_network(specify(256, 3, 1))
    assert sum(p.numel() for p in network.parameters()) == 23_047_745  # spec progan-stylegan1 §6.3
    assert network.b4.conv.weight.shape == (512, 512, 3, 3)


def test_cross_entropy_of_the_published_softmax():
    logits = torch.tensor([[1.5], [-0.5]])
    pairs = torch.cat([logits, -logits], dim=1)
    expected = torch.nn.functional.cross_entropy(pairs, torch.tensor([0, 1]))
    torch.testing.assert_close(cross_entropy(logits, torch.tensor([[True], [False]])), expected)
