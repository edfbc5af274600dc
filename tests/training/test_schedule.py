"""Progressive growing by the images seen: the published timeline, shorter runs, other batches."""

from __future__ import annotations

import pytest

from sgcli.training.config import resolve_config
from sgcli.training.schedule import Schedule, describe_level

DATA = {"num_channels": 3, "label_dim": 0, "path": "x", "fingerprint": "f", "name": "x"}


def schedule_of(arch: str, resolution: int, **options) -> Schedule:
    return Schedule(resolve_config(arch, {**DATA, "resolution": resolution}, options))


@pytest.mark.parametrize(
    ("kimg", "lod"),
    [(0, 7), (600, 7), (601, 7 - 1 / 600), (1200, 6), (8399, 1 / 600), (8400, 0), (25000, 0)],
)
def test_published_levels(kimg, lod):
    assert schedule_of("sg1", 1024).at(kimg * 1000).lod == pytest.approx(lod, abs=1e-9)


def test_published_batches_and_learning_rates():
    """Spec progan-stylegan1 §5.2: a level's batch and learning rate hold from the first moment of its fade."""
    schedule = schedule_of("sg1", 1024)
    middles = [schedule.at(1000 * kimg) for kimg in (300, 1200, 2400, 3600, 4800, 6000, 7200, 20000)]
    assert [stage.batch for stage in middles] == [256, 128, 64, 32, 32, 32, 32, 32]
    rates = [stage.lr_scale * schedule.config.g_lr for stage in middles]
    assert rates == pytest.approx([0.001, 0.001, 0.001, 0.001, 0.0015, 0.002, 0.003, 0.003])
    assert (schedule.at(600_000).batch, schedule.at(600_001).batch) == (256, 128)


def test_progan_s_own_schedule():
    schedule = schedule_of("progan", 1024)
    assert [schedule.at(kimg * 1000).lod for kimg in (0, 800, 1200, 1600, 12800)] == pytest.approx([8, 8, 7.5, 7, 0])
    assert [schedule.at(kimg * 1000).batch for kimg in (0, 9000, 10600, 15000)] == [16, 14, 6, 3]
    assert schedule.config.kimg == 19000


def test_a_shorter_run_grows_in_the_same_proportions():
    whole, short = schedule_of("sg1", 256), schedule_of("sg1", 256, kimg=250.0)
    for kimg in (0, 700, 1300, 4000, 20000):
        assert short.at(kimg * 10).lod == pytest.approx(whole.at(kimg * 1000).lod)
    longer = schedule_of("sg1", 256, kimg=50000.0)
    assert longer.at(700_000).lod == pytest.approx(whole.at(700_000).lod)


def test_batch_and_learning_rate_typed_are_those_at_full_resolution():
    schedule = schedule_of("sg1", 32, batch=8, batch_gpu=4, lr=0.002)
    first, last = schedule.at(0), schedule.at(25_000_000)
    assert (first.batch, first.batch_gpu, last.batch, last.batch_gpu) == (32, 16, 8, 4)
    assert schedule.config.g_lr * last.lr_scale == pytest.approx(0.002)


def test_optimisers_are_reset_where_a_fade_starts_and_where_it_ends():
    schedule = schedule_of("sg1", 32)
    kimgs = [0, 500, 600, 601, 1100, 1200, 1500, 1801, 2400, 9000]
    lods = [schedule.at(kimg * 1000).lod for kimg in kimgs]
    resets = [kimg for kimg, lod, before in zip(kimgs[1:], lods[1:], lods, strict=False)
              if schedule.at(kimg * 1000).starts_level(before)]  # fmt: skip
    assert resets == [601, 1200, 1801, 2400]


def test_nothing_changes_without_growing():
    schedule = schedule_of("sg2", 32, batch=16)
    assert schedule.at(0) == schedule.at(10**7)
    assert (schedule.at(0).lod, schedule.at(0).batch, schedule.at(0).lr_scale) == (0, 16, 1)


def test_pictures_smaller_than_the_first_level():
    assert schedule_of("sg1", 8).at(0).lod == 0
    assert schedule_of("sg1", 32, kimg=0.0).at(0).lod == 0


def test_levels_in_words():
    assert describe_level(1.0, 32) == "16²"
    assert describe_level(0.6, 32) == "16² to 32² 40%"
