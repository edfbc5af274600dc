"""Warnings of a training that goes wrong, and its end where there are no numbers any more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from sgcli.distributed.group import ALONE
from sgcli.errors import SgError
from sgcli.training.ada import AugmentStrength
from sgcli.training.run import Run
from sgcli.training.stats import Stats
from sgcli.training.watchdog import Watchdog, check_finite, variety

HEALTHY = {
    "Loss/signs/real": 0.5,
    "Loss/signs/fake": -0.5,
    "Loss/D/loss": 0.9,
    "Variety/fake": 0.5,
    "Variety/real": 0.6,
}


class Course:
    """A training of which only the numbers matter."""

    def __init__(self, folder, capsys, p=0.0, target=0.6, kimg=100.0, limit=None, wasserstein=False):
        self.capsys, self.dog = capsys, Watchdog()
        self.training = SimpleNamespace(
            players=SimpleNamespace(augment=AugmentStrength(p, target, kimg, limit), group=ALONE),
            progress=SimpleNamespace(nimg=0),
            config=SimpleNamespace(
                is_wasserstein=wasserstein, precision="auto", g_lr=0.002, data={"path": "faces.zip"}
            ),
            run=Run(folder),
            dataset=range(500),
            stats=Stats(),
        )

    def tick(self, **changes) -> str:
        numbers = {**HEALTHY, **{name.replace("__", "/"): value for name, value in changes.items()}}
        self.training.progress.nimg += 4000
        self.training.tick = {name: {"mean": value} for name, value in numbers.items()}
        self.dog(self.training)
        return self.capsys.readouterr().err


@pytest.fixture
def course(tmp_path, capsys):
    return lambda **options: Course(tmp_path, capsys, **options)


def test_a_healthy_training_hears_nothing(course):
    one = course(p=0.5)
    assert [one.tick() for _ in range(20)] == [""] * 20


def test_strong_augmentation_is_mentioned_once(course, tmp_path):
    one = course(p=0.85)
    said = one.tick()
    assert "p is 0.85" in said and "--aug-max 0.8" in said
    assert one.tick() == ""
    assert "p is 0.85" in (tmp_path / "log.txt").read_text()


def test_staying_at_the_ceiling(course):
    one = course(p=0.7, limit=0.7)
    ticks = [one.tick() for _ in range(8)]
    assert [bool(said) for said in ticks] == [False] * 5 + [True, False, False]  # after a fifth of 100 kimg
    assert "ceiling of 0.7 for 20 kimg" in ticks[5] and "500 pictures" in ticks[5]
    fixed = course(p=0.7, target=None)
    assert not any(fixed.tick() for _ in range(20))


def test_d_has_won(course):
    won = {"Loss__signs__real": 0.99, "Loss__signs__fake": -0.98, "Loss__D__loss": 0.03}
    one = course()
    ticks = [one.tick(**won), one.tick(), *(one.tick(**won) for _ in range(5))]
    assert [bool(said) for said in ticks] == [False] * 4 + [True, False, False]  # three on end, and once
    assert "D has won" in ticks[4] and "--gamma" in ticks[4]
    critic = course(wasserstein=True)
    assert not any(critic.tick(**won) for _ in range(5))


def test_variety_that_is_lost(course):
    one = course()
    ticks = [one.tick(Variety__fake=value) for value in (2.0, 0.5, 0.4, 0.3, 0.1)]
    assert [bool(said) for said in ticks] == [False] * 4 + [True]
    assert "lose variety" in ticks[-1]


def test_variety_is_that_of_what_pictures_show():
    same = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).repeat(8, 1, 1, 1)
    different = torch.linspace(-1, 1, 8)[:, None, None, None].expand(8, 3, 16, 16)
    assert variety(same).item() == pytest.approx(0, abs=1e-6)
    assert variety(different).item() == pytest.approx(float(torch.linspace(-1, 1, 8).std(correction=0)))


def test_losses_that_are_no_numbers_end_it(course, tmp_path):
    training = course().training
    (tmp_path / "model-000012.safetensors").touch()
    check_finite(training)
    training.stats.report("Loss/G/loss", torch.tensor([float("nan"), 1.0]))
    check_finite(training)  # one sample may overflow
    training.stats.report("Loss/D/loss", torch.tensor([float("nan"), float("inf")]))
    with pytest.raises(SgError, match=r"D's loss is not finite .*model-000012") as caught:
        check_finite(training)
    assert "--init-from" in caught.value.hint and caught.value.exit_status == 1
    assert "config.json" in caught.value.hint  # for networks of the same sizes
    (tmp_path / "model-000012.safetensors").rename(tmp_path / "model-000000.safetensors")
    with pytest.raises(SgError) as caught:
        check_finite(training)
    assert "--init-from" not in caught.value.hint
