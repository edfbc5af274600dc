"""Losses and regularisers against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from sgcli.models.path_length import path_length_noise, path_lengths
from sgcli.training import losses
from sgcli.training.ema import ema_decay, update_ema


def test_logistic_losses_at_known_logits():
    logits = torch.tensor([[-2.0], [0.0], [3.0]], dtype=torch.float64)
    sigmoid = 1 / (1 + torch.exp(-logits))
    torch.testing.assert_close(losses.generator_logistic(logits), -sigmoid.log())
    torch.testing.assert_close(losses.discriminator_logistic_real(logits), -sigmoid.log())
    torch.testing.assert_close(losses.discriminator_logistic_fake(logits), -(1 - sigmoid).log())


def test_r1_of_a_linear_and_a_quadratic_discriminator():
    torch.manual_seed(0)
    img = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(2, 4, 4, dtype=torch.float64)
    linear = losses.r1_penalty(img, (img * direction).sum(dim=[1, 2, 3]))
    torch.testing.assert_close(linear, direction.square().sum().expand(3))
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    penalty = losses.r1_penalty(img, scale * img.square().sum(dim=[1, 2, 3]))  # gradient 2·scale·x
    torch.testing.assert_close(penalty, 4 * scale**2 * img.square().sum(dim=[1, 2, 3]))
    (derivative,) = torch.autograd.grad(penalty.sum(), [scale])
    torch.testing.assert_close(derivative, 8 * scale * img.square().sum())


def test_path_lengths_of_a_linear_generator():
    """img = Σ_l A_l w_l: the gradient with respect to w_l is A_lᵀy, whatever w."""
    torch.manual_seed(0)
    num_ws, w_dim, pixels = 3, 5, 16
    matrices = torch.randn(num_ws, pixels, w_dim, dtype=torch.float64)
    ws = torch.randn(2, num_ws, w_dim, dtype=torch.float64, requires_grad=True)
    img = torch.einsum("lpd,nld->np", matrices, ws).reshape(2, 1, 4, 4)
    noise = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    lengths = path_lengths(img, ws, noise)
    expected = torch.einsum("lpd,np->nld", matrices, noise.reshape(2, pixels)).square().sum(2).mean(1).sqrt()
    torch.testing.assert_close(lengths, expected)


def test_path_length_penalty_uses_the_updated_mean_with_its_gradient():
    lengths = torch.tensor([1.0, 3.0], dtype=torch.float64, requires_grad=True)
    penalty, mean = losses.path_length_penalty(lengths, torch.tensor(10.0, dtype=torch.float64), decay=0.5)
    assert mean == 6.0 and not mean.requires_grad
    torch.testing.assert_close(penalty, torch.tensor([25.0, 9.0], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(penalty.sum(), [lengths])
    # d/dl_i Σ_j (l_j - a)², a = 5 + mean(l)/2, da/dl_i = 1/4
    torch.testing.assert_close(gradient, torch.tensor([-10 + 4.0, -6 + 4.0], dtype=torch.float64))


def test_path_length_noise_has_the_right_size():
    generators = [torch.Generator().manual_seed(n) for n in range(8)]
    noise = path_length_noise(torch.zeros(8, 3, 32, 32), generators)
    assert noise.std().item() == pytest.approx(1 / 32, rel=0.02)


def test_ema_half_life_and_rampup():
    assert ema_decay(32, 10**6, 10, None) == pytest.approx(0.5 ** (32 / 10000))
    assert ema_decay(32, 1000, 10, 0.05) == pytest.approx(0.5 ** (32 / 50))
    assert ema_decay(32, 0, 10, 0.05) == 0.0  # copies at the start
    assert ema_decay(32, 0, 0, None) == 0.0


def test_ema_moves_parameters_and_copies_buffers():
    network, average = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    torch.nn.init.constant_(network.weight, 5.0)
    network.running_mean.fill_(7.0)
    update_ema(average, network, 0.75)
    torch.testing.assert_close(average.weight.detach(), torch.full([3], 2.0))
    assert average.running_mean.tolist() == [7.0] * 3


def test_lazy_regularisation_corrects_adam():
    from sgcli.training.phases import make_optimizer

    layer = torch.nn.Linear(2, 2)
    (group,) = make_optimizer(layer, 0.002, 16).param_groups
    assert group["lr"] == pytest.approx(0.002 * 16 / 17)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))
    assert math.isclose(make_optimizer(layer, 0.002, None).param_groups[0]["lr"], 0.002)


def test_gradients_that_are_not_finite_are_cleaned():
    from sgcli.training.phases import clean_gradient

    parameter = torch.nn.Parameter(torch.zeros(4))
    parameter.grad = torch.tensor([float("nan"), float("inf"), float("-inf"), 2.0])
    clean_gradient(parameter)
    assert parameter.grad.tolist() == [0.0, 1e5, -1e5, 2.0]
    untouched = torch.nn.Parameter(torch.zeros(2))
    clean_gradient(untouched)
    assert untouched.grad.tolist() == [0.0, 0.0]


def test_class_entropy_at_known_logits():
    logits, labels = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(losses.class_entropy(logits, labels), torch.tensor([[math.log(2.0)], [math.log(4.0)]]))
