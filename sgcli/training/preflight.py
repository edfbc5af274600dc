"""`--batch auto` and `--batch-gpu auto`: how many pictures fit into memory at once, found out before the first step.

Every phase is run with two small micro-batches and its peak of memory measured; path length and R1 take the most. It
grows evenly with the pictures, so two sizes tell all others. What still does not fit while training is halved then
(training.retry). The networks that are tried are thrown away: a run trains as if nothing had been measured.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sgcli.distributed.group import Group
from sgcli.errors import SgError, is_out_of_memory
from sgcli.models.memory import peak_memory
from sgcli.progress import track
from sgcli.training.config import TrainingConfig
from sgcli.training.estimate import phase_bytes, state_bytes
from sgcli.training.loop import make_players
from sgcli.training.phases import MicroBatch, Phase, gradient_of, make_phases
from sgcli.training.randomness import draw_latents
from sgcli.training.schedule import Stage
from sgcli.training.stats import Stats

# Of the free memory, for tensors: allocators leave gaps. A process on a CPU was seen to grow by 1.4 to 2.6 times what
# its tensors take, since glibc's heap does not fill its gaps, and oneDNN makes copies of its own.
USABLE = {"cuda": 0.9, "cpu": 0.35}
PROCESS_BYTES = 150 << 20  # and so much it grows without any picture: libraries, read-ahead, the grid of fakes
LARGEST_BATCH = 64  # that --batch auto chooses for a worker; published trainings have no more
MINIBATCH_GROUP = 4
TRIALS = ((2, 4), (1, 2), (1,))  # sizes of micro-batches that are measured: the first of these that may fit

Fields = Mapping[str, Any]


def choose_sizes(
    resolve: Callable[[Fields], TrainingConfig],
    fields: Fields,
    device: torch.device,
    group: Group,
    workers: int,              # in all
    on_this_machine: int,      # of them
) -> tuple[dict[str, int], list[str]]:  # fmt: skip
    """Numbers in the place of "auto" in `fields` (batch, batch_gpu), and how much memory each phase takes, in words.

    resolve: fields to a configuration. Workers measure each for itself, and choose what suits the one with the least
    memory. Raises SgError where nothing fits.
    """
    usable = USABLE[device.type] * (free_memory(device, on_this_machine) - PROCESS_BYTES)
    free = -group.largest(-int(max(usable, 0)))
    config = resolve({**fields, "batch": MINIBATCH_GROUP * workers, "batch_gpu": MINIBATCH_GROUP})
    fixed = state_bytes(config)
    measured = measure(config, device, free - fixed)

    def needed(count: int) -> dict[str, int]:
        if count in measured:
            return {name: fixed + size for name, size in measured[count].items()}
        low, high = measured.get(2, {}), measured.get(4, {})  # without these nothing larger fits
        return {name: fixed + high[name] + (high[name] - low[name]) * (count - 4) // 2 for name in high}

    def fits(count: int) -> bool:
        return not group.largest(int(max(needed(count).values(), default=free + 1) > free))

    given = None if fields.get("batch_gpu") == "auto" else fields.get("batch_gpu")
    if fields.get("batch") == "auto":
        unit = given or MINIBATCH_GROUP
        sizes = [unit << power for power in range(LARGEST_BATCH.bit_length()) if unit << power <= LARGEST_BATCH]
        share = next((size for size in reversed(sizes) if fits(given or size)), unit)
    else:
        share = resolve({**fields, "batch_gpu": None}).batch // workers
    batch_gpu = given or next((size for size in range(share, 0, -1) if share % size == 0 and fits(size)), None)
    if batch_gpu is None:
        least = fixed + max(phase_bytes(config, 1).values())
        raise SgError(
            f"not even one picture at a time fits: {least / 1e9:.2g} GB at least, {free / 1e9:.2g} GB can be used",
            "--tiny, a smaller --channels-base, or smaller pictures: sg data pack DATA small.zip --size 128",
        )
    lines = [f"{name}: {max(size / 1e9, 0.001):.2g} GB" for name, size in needed(batch_gpu).items()]
    chosen = {"batch": share * workers, "batch_gpu": batch_gpu}
    return {name: chosen[name] for name in chosen if fields.get(name) == "auto"}, lines


def measure(config: TrainingConfig, device: torch.device, room: int) -> dict[int, dict[str, int]]:
    """{size of micro-batch: {phase: bytes at its peak beyond what training keeps}}, of as many as fit into `room`."""
    # What autograd keeps is known without any memory, and is the least that a phase takes.
    possible = TRIALS if room > 0 else ()
    trials = next((sizes for sizes in possible if max(phase_bytes(config, sizes[-1]).values()) <= room), ())
    if not trials:
        return {}
    players = make_players(config, device)
    phases = make_phases(config, players, Stats())
    for network in (players.G, players.D):
        for parameter in network.parameters():
            gradient_of(parameter)
    mean_length = players.pl_mean
    measured: dict[int, dict[str, int]] = {size: {} for size in trials}
    tasks = [(size, phase) for size in trials for phase in phases]
    for size, phase in track(tasks, "measuring memory", unit="phases"):
        players.enter(Stage(0.0, size, size, 1.0))
        players.pl_mean = mean_length  # the measure wants no tensor freed that was there before
        try:
            measured[size][phase.name] = peak_memory(partial(run_once, phase, config, size, device), device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            measured = {smaller: measured[smaller] for smaller in trials if smaller < size}
            break
    return measured


def run_once(phase: Phase, config: TrainingConfig, size: int, device: torch.device) -> None:
    """One micro-batch of a phase, forward and backward."""
    G = config.G
    reals = torch.zeros(size, G["img_channels"], G["img_resolution"], G["img_resolution"], device=device)
    labels = torch.zeros(size, G["c_dim"], device=device)
    latents = draw_latents(
        seed=0, purpose=phase.name, first=0, batch=size, z_dim=G["z_dim"], num_ws=4, style_mixing_prob=1, labels=labels
    )
    phase.network.requires_grad_(True)
    phase.loss(MicroBatch(reals, labels, latents)).backward()
    phase.network.requires_grad_(False)


def free_memory(device: torch.device, workers: int) -> int:
    """Bytes that one of `workers` on this machine may use: of its own GPU, or its share of what is left."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        free = min(free, int(text) - int(limit.with_name("memory.current").read_text()))
    own, _ = resource.getrlimit(resource.RLIMIT_AS)  # ulimit -v
    if own != resource.RLIM_INFINITY:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        return max(min(free // workers, own - taken), 0)
    return max(free, 0) // workers
