"""Write the tables of docs/scaling.md: from the networks themselves, published times of one and eight GPUs, line rates.

    t(step) = a + c · pictures per GPU + bytes on the line / line rate

a and c follow from the published seconds per kimg of StyleGAN3's code on one and eight A100s at batch 32 (spec
stylegan2-ada §7.1, stylegan3 §6.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torch._subclasses.fake_tensor import FakeTensorMode

from sgcli.training.config import resolve_config
from sgcli.training.estimate import phase_cost, without_data
from sgcli.training.schedule import Stage

PAGE = Path(__file__).parent / "scaling.md"
PUBLISHED = {  # (architecture, resolution): seconds per kimg on one A100, on eight
    ("sg2", 256): (12.53, 2.38),
    ("sg2", 1024): (90.39, 11.66),
    ("sg3-t", 1024): (156.91, 20.01),
    ("sg3-r", 1024): (184.81, 23.42),
}
BATCH, PER_GPU = 32, 4
NVLINK, NETWORK = 150e9, 12.5e9  # bytes per second and GPU: among the eight of a machine; between machines, 100 Gb/s
GPUS = (8, 64, 512)


@dataclass
class Work:
    arch: str
    resolution: int
    g: int  # parameters
    d: int
    flops: float  # per picture: every phase in its proportion
    gradients: float  # bytes that the phases of a step exchange, per step on average

    def step_seconds(self, gpus: int, per_gpu: int) -> float:
        one, eight = (BATCH * seconds / 1000 for seconds in PUBLISHED[self.arch, self.resolution])
        c = (one - eight + self.line_seconds(8)) / (BATCH - BATCH / 8)
        return one - c * BATCH + c * per_gpu + self.line_seconds(gpus)

    def line_seconds(self, gpus: int) -> float:
        """A ring sends and receives 2 (n - 1) / n of all bytes; nothing is computed meanwhile."""
        rate = NVLINK if gpus <= 8 else NETWORK
        return 2 * (gpus - 1) / gpus * self.gradients / rate


def work_of(arch: str, resolution: int) -> Work:
    data = {"resolution": resolution, "num_channels": 3, "label_dim": 0, "name": "paper"}
    options = {"batch": BATCH, "batch_gpu": PER_GPU, **({"channel_base": 16384} if resolution == 256 else {})}
    config = resolve_config(arch, data, options)
    with FakeTensorMode(allow_non_fake_inputs=True):
        players, phases = without_data(config)
        stage = Stage(0.0, PER_GPU, PER_GPU, 1.0)
        players.enter(stage)
        flops = sum(phase_cost(phase, config, stage)[0] / PER_GPU / phase.interval for phase in phases)
        gradients = sum(4 * sum(p.numel() for p in phase.parameters) / phase.interval for phase in phases)
        g, d = (sum(p.numel() for p in network.parameters()) for network in (players.G, players.D))
    return Work(arch, resolution, g, d, flops, gradients)


def table_of_work(works: list[Work]) -> list[str]:
    lines = [
        "| network | parameters G, D | operations per picture | gradients sent per step | G and D, Adam, average |",
        "|---|---|---|---|---|",
    ]
    for work in works:
        kept = 4 * (5 * work.g + 4 * work.d)
        sizes = f"{work.g / 1e6:.1f} M, {work.d / 1e6:.1f} M"
        lines.append(
            f"| {work.arch} {work.resolution}² | {sizes} | {work.flops / 1e12:.2f} T "
            f"| {work.gradients / 1e6:.0f} MB | {kept / 1e9:.2f} GB |"
        )
    return lines


def table_of_times(works: list[Work]) -> list[str]:
    lines = [  # pictures as packed: PNG without compression
        "| network | GPUs | batch | s per step | of it on the line | s/kimg | days, 25 000 kimg | pictures/s | data |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for work in works:
        for gpus in GPUS:
            step, line, batch = work.step_seconds(gpus, PER_GPU), work.line_seconds(gpus), PER_GPU * gpus
            rate = batch / step
            data = rate * 3 * work.resolution**2
            lines.append(
                f"| {work.arch} {work.resolution}² | {gpus} | {batch} | {step:.3f} | {line / step:.0%} "
                f"| {1000 / rate:.3g} | {25e6 / rate / 86400:.2g} | {rate:.0f} | {data / 1e6:.0f} MB/s |"
            )
    return lines


def main() -> None:
    works = [work_of(*key) for key in PUBLISHED]
    text = PAGE.read_text()
    for name, table in (("work", table_of_work(works)), ("times", table_of_times(works))):
        body = "\n".join([f"<!-- {name} -->", *table, f"<!-- /{name} -->"])
        text = re.sub(f"<!-- {name} -->.*<!-- /{name} -->", lambda _, body=body: body, text, flags=re.S)
    PAGE.write_text(text)
    print(PAGE)


if __name__ == "__main__":
    main()
