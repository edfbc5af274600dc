"""The phases of a training step: G's loss, G's regulariser, D's loss, D's regulariser, in this order (spec
stylegan2-ada §5). ProGAN and StyleGAN trained D first; but for the very first step, that is the same sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from sgcli.distributed.group import ALONE, Group
from sgcli.models import progan
from sgcli.models.base import Generator
from sgcli.models.growing import lod_of, set_lod
from sgcli.models.noise import random_noise_maps
from sgcli.models.path_length import path_length_noise, path_lengths
from sgcli.training import losses
from sgcli.training.ada import AugmentStrength
from sgcli.training.augment import AugmentPipe, names_of
from sgcli.training.blur import blur, blur_sigma
from sgcli.training.config import TrainingConfig
from sgcli.training.consistency import consistency_loss, shift
from sgcli.training.draws import RandomDraws
from sgcli.training.randomness import Latents, torch_generators_for
from sgcli.training.schedule import Stage
from sgcli.training.stats import Stats
from sgcli.training.transfer import frozen_parameters
from sgcli.training.watchdog import variety

ADAM_BETAS = (0.0, 0.99)
ADAM_EPS = 1e-8
PL_BATCH_SHRINK = 2  # path length is measured on this share of the batch


@dataclass
class MicroBatch:
    """What one phase sees of one micro-batch."""

    reals: torch.Tensor  # [N, K, R, R] in [-1, 1]
    labels: torch.Tensor  # [N, c_dim]
    latents: Latents
    nimg: int = 0  # images seen before this step: where schedules are


@dataclass
class Phase:
    """One optimiser step: `loss` is called for each micro-batch, its mean times `gain` is differentiated."""

    name: str
    network: nn.Module
    optimizer: torch.optim.Optimizer
    interval: int  # run every `interval` steps
    loss: Callable[[MicroBatch], torch.Tensor]
    gain: float = 1.0  # a lazy regulariser counts `interval` times
    parameters: list[nn.Parameter] = field(default_factory=list)  # those that learn; none given: all

    def __post_init__(self) -> None:
        self.parameters = self.parameters or list(self.network.parameters())


@dataclass
class Players:
    """The networks and what the phases keep between steps."""

    G: Generator
    D: nn.Module
    G_ema: Generator
    pl_mean: torch.Tensor  # [], running mean of path lengths
    opt_G: torch.optim.Optimizer
    opt_D: torch.optim.Optimizer
    augment: AugmentStrength
    group: Group = ALONE  # the workers that each batch is dealt to

    def enter(self, stage: Stage) -> None:
        """Take on the level of detail and the learning rates of the next step."""
        if stage.starts_level(lod_of(self.G)):
            self.opt_G.state.clear()
            self.opt_D.state.clear()
        for network in (self.G, self.D, self.G_ema):
            set_lod(network, stage.lod)
        for optimizer in (self.opt_G, self.opt_D):
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * stage.lr_scale


def make_optimizer(network: nn.Module, lr: float, lazy_interval: int | None) -> torch.optim.Adam:
    """Adam; where a regulariser runs every k-th step beside the main loss, lr and betas are corrected by c = k/(k+1).

    lr·c, β₁^c, β₂^c keep the effective step and memory per image what they would be without the extra steps.
    """
    c = 1.0 if lazy_interval is None else lazy_interval / (lazy_interval + 1)
    betas = (ADAM_BETAS[0] ** c, ADAM_BETAS[1] ** c)
    return torch.optim.Adam(network.parameters(), lr=lr * c, betas=betas, eps=ADAM_EPS, fused=True)


def make_phases(config: TrainingConfig, players: Players, stats: Stats) -> list[Phase]:
    """The phases of `config` in the order in which they run."""
    objectives = Objectives(config, players, stats)
    G, D, opt_G, opt_D = players.G, players.D, players.opt_G, players.opt_D
    phases = [Phase("Gmain", G, opt_G, 1, objectives.generator_main)]
    if config.pl_weight > 0:
        k = config.pl_interval
        phases.append(Phase("Greg", G, opt_G, k, objectives.generator_path_length, gain=k))
    frozen = {id(parameter) for parameter in frozen_parameters(D, config.freeze_d)}
    learning = [parameter for parameter in D.parameters() if id(parameter) not in frozen]
    phases.append(Phase("Dmain", D, opt_D, 1, objectives.discriminator_main, parameters=learning))
    if config.has_lazy_r1:
        k = config.r1_interval
        phases.append(Phase("Dreg", D, opt_D, k, objectives.discriminator_r1, gain=k, parameters=learning))
    return phases


class Objectives:
    """The loss of each phase for one micro-batch; reports what it sees to `stats`."""

    def __init__(self, config: TrainingConfig, players: Players, stats: Stats):
        self.config, self.players, self.stats = config, players, stats
        self.adversarial = losses.ADVERSARIAL_LOSSES[config.loss]
        names = names_of(config.aug_pipe) if config.augments else ()
        self.augment = AugmentPipe(names, players.pl_mean.device)

    def generator_main(self, micro: MicroBatch) -> torch.Tensor:
        img, _ = self.run_generator(micro.latents)
        logits, class_loss = self.judge(img, micro.latents.c, micro, "fake")
        loss = self.adversarial.generator(logits) + class_loss
        self.stats.report("Loss/scores/fake", logits)
        self.stats.report("Loss/signs/fake", logits.sign())
        self.stats.report("Loss/G/loss", loss)
        return loss.mean()

    def generator_path_length(self, micro: MicroBatch) -> torch.Tensor:
        latents = micro.latents.part(0, max(len(micro.latents) // PL_BATCH_SHRINK, 1))
        img, ws = self.run_generator(latents)
        generators = torch_generators_for(latents.seed, "path-length", latents.numbers, img.device)
        lengths = path_lengths(img, ws, path_length_noise(img, generators))
        penalty, self.players.pl_mean = losses.path_length_penalty(
            lengths, self.players.pl_mean, group=self.players.group
        )
        loss = penalty * self.config.pl_weight
        self.stats.report("Loss/pl_penalty", penalty)
        self.stats.report("Loss/G/reg", loss)
        return loss.mean()

    def discriminator_main(self, micro: MicroBatch) -> torch.Tensor:
        with torch.no_grad():
            img, _ = self.run_generator(micro.latents, update_emas=True)
        fake_logits, fake_class_loss = self.judge(img, micro.latents.c, micro, "fake")
        with_r1 = self.config.r1_gamma > 0 and self.config.r1_interval == 1
        reals = micro.reals.detach().requires_grad_(with_r1)
        real_logits, real_class_loss = self.judge(reals, micro.labels, micro, "real")
        loss = self.adversarial.discriminator_fake(fake_logits) + self.adversarial.discriminator_real(real_logits)
        loss = loss + fake_class_loss + real_class_loss
        if with_r1:
            loss = loss + self.r1_loss(reals, real_logits)[:, None]
        if self.config.loss == "wgan-gp":
            loss = loss + self.gradient_penalty(img, micro)[:, None]
        if self.config.aug == "bcr":
            loss = loss + self.inconsistency(img, micro.latents.c, fake_logits, micro, "fake")
            loss = loss + self.inconsistency(reals, micro.labels, real_logits, micro, "real")
        self.stats.report("Loss/scores/fake", fake_logits)
        self.stats.report("Loss/signs/fake", fake_logits.sign())
        self.report_reals(real_logits)
        self.stats.report("Loss/D/loss", loss)
        self.stats.report("Variety/fake", variety(img))
        self.stats.report("Variety/real", variety(micro.reals))
        return loss.mean()

    def discriminator_r1(self, micro: MicroBatch) -> torch.Tensor:
        reals = micro.reals.detach().requires_grad_(True)
        logits = self.run_discriminator(reals, micro.labels, micro, "real")
        self.report_reals(logits)
        return self.r1_loss(reals, logits).mean()

    def r1_loss(self, reals: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """`[N]`."""
        penalty = losses.r1_penalty(reals, logits)
        loss = penalty * (self.config.r1_gamma / 2)
        self.stats.report("Loss/r1_penalty", penalty)
        self.stats.report("Loss/D/reg", loss)
        return loss

    def gradient_penalty(self, fakes: torch.Tensor, micro: MicroBatch) -> torch.Tensor:
        """Of pictures at random places between reals and fakes. `[N]`."""
        latents = micro.latents
        generators = torch_generators_for(latents.seed, "interpolation", latents.numbers, fakes.device)
        shares = [torch.rand(1, 1, 1, generator=generator, device=fakes.device) for generator in generators]
        mixed = micro.reals.lerp(fakes, torch.stack(shares)).requires_grad_(True)
        penalty = losses.gradient_penalty(mixed, self.run_discriminator(mixed, micro.labels, micro, "mixed"))
        self.stats.report("Loss/gradient_penalty", penalty)
        self.stats.report("Loss/D/reg", penalty)
        return penalty

    def inconsistency(
        self, images: torch.Tensor, c: torch.Tensor, logits: torch.Tensor, micro: MicroBatch, what: str
    ) -> torch.Tensor:
        """Of D's outputs for pictures and for the same pictures moved a little. `[N, 1]`."""
        latents = micro.latents
        purpose = f"bcr/{latents.purpose}/{what}"
        moved = shift(images, RandomDraws(latents.seed, purpose, latents.numbers))
        loss = consistency_loss(logits, self.run_discriminator(moved, c, micro, what))
        self.stats.report(f"Loss/bcr/{what}", loss)
        return loss

    def held_out(self, micro: MicroBatch) -> None:
        """Score pictures that D does not learn from."""
        logits = self.run_discriminator(micro.reals, micro.labels, micro, "held-out")
        self.stats.report("Loss/scores/held_out", logits)

    def run_generator(self, latents: Latents, update_emas: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures `[N, K, R, R]` and the ws `[N, num_ws, W]` they came from, style mixing included."""
        G = self.players.G
        ws = G.mapping(latents.z, latents.c, update_w_avg=update_emas)
        if latents.cutoff is not None:
            mixed = G.mapping(latents.z_mixed, latents.c)
            ws = torch.cat([ws[:, : latents.cutoff], mixed[:, latents.cutoff :]], dim=1)
        if (
            not ws.requires_grad
        ):  # without mapping layers there is nothing to learn in front of ws, and yet path lengths
            ws = ws.detach().requires_grad_(torch.is_grad_enabled())
        noise = random_noise_maps(G.synthesis.noise_layers(), latents.noise_generators())
        return G.synthesis(ws, noise=noise, update_emas=update_emas), ws

    def judge(
        self, img: torch.Tensor, c: torch.Tensor, micro: MicroBatch, what: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits `[N, 1]` of pictures, and what a D that tells classes too loses on the labels `[N, 1]` (else 0)."""
        D = self.players.D
        if not isinstance(D, progan.Discriminator) or not D.classifies:
            return self.run_discriminator(img, c, micro, what), torch.zeros([], device=img.device)
        logits, class_logits = D.score_and_classify(self.as_seen(img, micro, what))
        loss = losses.class_entropy(class_logits, c)
        self.stats.report(f"Loss/classes/{what}", loss)
        return logits, loss

    def run_discriminator(self, img: torch.Tensor, c: torch.Tensor, micro: MicroBatch, what: str) -> torch.Tensor:
        """Logits `[N, 1]` of pictures."""
        return self.players.D(self.as_seen(img, micro, what), c)

    def as_seen(self, img: torch.Tensor, micro: MicroBatch, what: str) -> torch.Tensor:
        """Pictures as D sees them: reals and fakes are blurred alike at the start, and augmented alike.

        `what` tells the draws for reals and fakes of one phase apart.
        """
        img = blur(img, blur_sigma(micro.nimg, self.config.blur_sigma, self.config.blur_kimg))
        if self.augment.names and self.players.augment.is_on:
            latents = micro.latents
            purpose = f"augment/{latents.purpose}/{what}"
            draws = RandomDraws(latents.seed, purpose, latents.numbers)
            img = self.augment(img, self.players.augment.p, draws)
        return img

    def report_reals(self, logits: torch.Tensor) -> None:
        self.stats.report("Loss/scores/real", logits)
        self.stats.report("Loss/signs/real", logits.sign())  # r_t of the ADA paper
        self.players.augment.observe(logits)


def run_phase(phase: Phase, micro_batches: list[MicroBatch], group: Group = ALONE) -> None:
    """Accumulate the gradient of the batch's mean loss over its micro-batches and workers, then take one optimiser
    step.

    Where memory does not suffice, it raises before the step is taken, in all workers alike.
    """
    group.at(phase.name)
    batch = sum(len(micro.latents) for micro in micro_batches)
    phase.optimizer.zero_grad(set_to_none=True)
    for parameter in phase.parameters:
        parameter.requires_grad_(True)
    with group.attempt():
        for micro in micro_batches:
            share = len(micro.latents) / batch
            (phase.loss(micro) * (phase.gain * share)).backward()
    for parameter in phase.parameters:
        parameter.requires_grad_(False)
    group.average_([gradient_of(parameter) for parameter in phase.parameters])
    for parameter in phase.parameters:
        clean_gradient(parameter)
    phase.optimizer.step()


def gradient_of(parameter: nn.Parameter) -> torch.Tensor:
    """Zero for a parameter that the loss does not reach."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def clean_gradient(parameter: nn.Parameter) -> None:
    """nan -> 0, ±inf -> ±1e5 (spec §5)."""
    gradient = gradient_of(parameter)
    torch.nan_to_num(gradient, nan=0, posinf=1e5, neginf=-1e5, out=gradient)
