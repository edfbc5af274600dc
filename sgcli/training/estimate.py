"""What a run will cost, before it starts: parameters, memory, disk and time.

Every phase is run once on tensors without data (PyTorch's FakeTensorMode), counting floating-point operations and the
bytes that autograd keeps. Only the speed of this machine is measured, with one real convolution.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sgcli.models.registry import build_generator, build_network
from sgcli.training.ada import AugmentStrength
from sgcli.training.config import TrainingConfig
from sgcli.training.phases import MicroBatch, Phase, Players, make_optimizer, make_phases
from sgcli.training.randomness import draw_latents
from sgcli.training.schedule import Schedule, Stage
from sgcli.training.stats import Stats

# A phase takes its operations at a share of the probe's speed, and a time that does not depend on them: for starting
# some thousand operators. Both seen on a 2-core CPU: sg2 at 64², 830 s/kimg; the demo's small networks, 6.9 s/kimg.
STEP_EFFICIENCY = 0.85
PHASE_SECONDS = 0.035
PROBE_SECONDS = 0.5
SAMPLES = 50  # points of the run at which its schedule is looked at


@dataclass
class Estimate:
    """What `sg train --dry-run` prints besides the configuration."""

    g_parameters: int
    d_parameters: int
    memory_gb: float  # training state and the largest phase
    snapshot_gb: float  # one model file
    disk_gb: float  # all snapshots, and the states
    sec_per_kimg: float
    hours: float


def estimate(config: TrainingConfig, device: torch.device) -> Estimate:
    """Estimate a run of `config` on `device`."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        players, phases = without_data(config)
        costs = []
        for stage, share in stages_of(config):
            players.enter(stage)
            costs += [(share / phase.interval / stage.batch_gpu, *phase_cost(phase, config, stage)) for phase in phases]
    g, d = (sum(p.numel() for p in network.parameters()) for network in (players.G, players.D))
    flops_per_image = sum(weight * flops for weight, flops, _ in costs)
    phases_per_image = sum(weight for weight, _, _ in costs)
    sec_per_image = flops_per_image / (probe_flops(device) * STEP_EFFICIENCY) + phases_per_image * PHASE_SECONDS
    memory = training_bytes(g, d) + max(kept for _, _, kept in costs)
    snapshot, state = 4 * (2 * g + d), 4 * (4 * g + 3 * d)
    snapshots = config.kimg // config.snap_kimg + 2 if config.keep_last is None else config.keep_last
    return Estimate(
        g_parameters=g,
        d_parameters=d,
        memory_gb=memory / 1e9,
        snapshot_gb=snapshot / 1e9,
        disk_gb=(snapshots * snapshot + 2 * state) / 1e9,
        sec_per_kimg=1000 * sec_per_image,
        hours=1000 * sec_per_image * config.kimg / 3600,
    )


def without_data(config: TrainingConfig) -> tuple[Players, list[Phase]]:
    """Networks and phases of a run; under FakeTensorMode they take no memory."""
    G, D = build_generator(config.G), build_network(config.D)
    players = Players(
        G,
        D,
        G_ema=G,
        pl_mean=torch.zeros([]),
        opt_G=make_optimizer(G, config.g_lr, None),
        opt_D=make_optimizer(D, config.d_lr, None),
        augment=AugmentStrength(0.0),
    )
    return players, make_phases(config, players, Stats())


def training_bytes(g: int, d: int) -> int:
    """Weights, gradients, two Adam moments for both networks of g and d parameters; the moving average of G."""
    return 4 * (5 * g + 4 * d)


def state_bytes(config: TrainingConfig) -> int:
    """What a training keeps between phases."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        players, _ = without_data(config)
    return training_bytes(*(sum(p.numel() for p in network.parameters()) for network in (players.G, players.D)))


def phase_bytes(config: TrainingConfig, batch_gpu: int) -> dict[str, int]:
    """What autograd keeps for a micro-batch of `batch_gpu` at full resolution, by phase."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        players, phases = without_data(config)
        stage = Stage(0.0, batch_gpu, batch_gpu, 1.0)
        players.enter(stage)
        return {phase.name: phase_cost(phase, config, stage)[1] for phase in phases}


def stages_of(config: TrainingConfig) -> list[tuple[Stage, float]]:
    """One stage of the run for each level of detail, with its share of the run."""
    schedule = Schedule(config)
    stages = [schedule.at(round((i + 0.5) / SAMPLES * config.total_nimg)) for i in range(SAMPLES)]
    levels = Counter(int(stage.lod) for stage in stages)
    return [(next(stage for stage in stages if int(stage.lod) == level), n / SAMPLES) for level, n in levels.items()]


def phase_cost(phase: Phase, config: TrainingConfig, stage: Stage) -> tuple[float, int]:
    """(floating-point operations, bytes kept for the backward pass) of one micro-batch of a phase."""
    n, G = stage.batch_gpu, config.G
    reals = torch.zeros(n, G["img_channels"], G["img_resolution"], G["img_resolution"])
    labels = torch.zeros(n, G["c_dim"])
    latents = draw_latents(
        seed=0, purpose=phase.name, first=0, batch=n, z_dim=G["z_dim"], num_ws=4, style_mixing_prob=0, labels=labels
    )
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[id(storage)] = storage.nbytes()
        return tensor

    with CountFlops() as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        phase.network.requires_grad_(True)
        phase.loss(MicroBatch(reals, labels, latents)).backward()
        phase.network.requires_grad_(False)
    return counter.flops, sum(kept.values())


class CountFlops(TorchDispatchMode):
    """Adds up the operations of every convolution and matrix product. (FlopCounterMode fails on R1's inner one.)"""

    flops = 0.0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


def probe_flops(device: torch.device) -> float:
    """Floating-point operations per second of a middling 3x3 convolution on `device`, fp32."""
    x, w = torch.randn(8, 128, 32, 32, device=device), torch.randn(128, 128, 3, 3, device=device)
    count, start = 0, time.monotonic()
    while time.monotonic() - start < PROBE_SECONDS:
        torch.nn.functional.conv2d(x, w, padding=1)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        count += 1
        if count == 1:  # the first call chooses an algorithm
            start = time.monotonic()
    flops_per_call = 2 * 8 * 128 * 128 * 9 * 32 * 32
    return count * flops_per_call / (time.monotonic() - start)
