"""Random draws and data order are functions of (seed, images seen), and have the right distributions."""

from __future__ import annotations

import numpy as np
import torch

from sgcli.data.dataset import open_dataset
from sgcli.training.batches import Batches
from sgcli.training.randomness import draw_latents

CPU = torch.device("cpu")


def latents(first=0, seed=0, purpose="Gmain", prob=0.9, batch=4):
    return draw_latents(
        seed=seed,
        purpose=purpose,
        first=first,
        batch=batch,
        z_dim=6,
        num_ws=8,
        style_mixing_prob=prob,
        labels=torch.zeros(batch, 0),
    )


def test_draws_repeat_and_differ():
    assert torch.equal(latents().z, latents().z)
    others = [latents(first=4), latents(seed=1), latents(purpose="Dmain")]
    assert all(not torch.equal(latents().z, other.z) for other in others)
    assert not torch.equal(latents().z, latents().z_mixed)


def test_noise_belongs_to_the_image_not_to_the_batch():
    def noise(batch):
        return [torch.randn(3, generator=generator) for generator in batch.noise_generators()]

    whole = noise(latents(batch=4))
    assert torch.equal(noise(latents(batch=4).part(2, 4))[1], whole[3])
    assert not torch.equal(whole[0], whole[1])


def test_style_mixing_crossover():
    cutoffs = [latents(first=4 * i).cutoff for i in range(2000)]
    mixed = [cutoff for cutoff in cutoffs if cutoff is not None]
    assert abs(len(mixed) / len(cutoffs) - 0.9) < 0.03
    assert set(mixed) == set(range(1, 8))
    assert latents(prob=0).cutoff is None


def test_every_image_once_per_pass(faces):
    dataset = open_dataset(faces)
    batches = Batches(dataset, lambda nimg: 16, seed=0, device=CPU)
    first, second = ([batches._indices(start + n) for n in range(0, 48, 16)] for start in (0, 48))
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(range(48))
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    other = Batches(dataset, lambda nimg: 16, seed=1, device=CPU)
    assert not np.array_equal(other._indices(0), first[0])
    for each in (batches, other):
        each.close()


def test_read_ahead_changes_nothing(faces):
    dataset = open_dataset(faces)
    forwards, jumping = Batches(dataset, lambda nimg: 8, 0, CPU), Batches(dataset, lambda nimg: 8, 0, CPU)
    expected = {start: forwards.at(start)[0] for start in (0, 8, 16, 24)}
    for start in (24, 0, 16, 8):
        images, labels = jumping.at(start)
        assert torch.equal(images, expected[start])
        assert labels.shape == (8, 0)
    assert images.min() >= -1 and images.max() <= 1 and images.dtype == torch.float32
    forwards.close()
    jumping.close()
