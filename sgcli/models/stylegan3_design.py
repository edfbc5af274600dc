"""The layers of a StyleGAN3 generator as data: which frequencies each one passes, and the filters that see to it.

Spec stylegan3 §3 and §5; StyleGAN3 paper (Karras et al. 2021), sections 2 and 3. Frequencies are in cycles per picture
width, sampling rates in samples per picture width; R is the picture's resolution, N the number of layers before ToRGB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

SCHEDULES = ("flexible", "octaves")
RESAMPLINGS = ("kaiser", "bilinear")
FIRST_CUTOFF = 2.0
FIRST_STOPBAND = 2**2.1
LAST_STOPBAND_REL = 2**0.3  # stopband of the last layers, relative to their cutoff
FILTER_SIZE = 6  # taps of a Kaiser or jinc filter per resampling factor
BILINEAR_TAPS = (1, 3, 3, 1)  # StyleGAN2's filter, which doubles by linear interpolation


@dataclass(frozen=True)
class Signal:
    """What lies between two layers: a band-limited signal, sampled on a square that may reach beyond the picture."""

    sampling_rate: int  # s
    cutoff: float  # f_c: frequencies up to here pass
    stopband: float  # f_t: frequencies from here on should be gone
    size: int  # samples per side, margin included
    channels: int

    @property
    def half_width(self) -> float:
        """f_h, of the filter's transition band around the cutoff: as soft as the sampling rate allows."""
        return max(self.stopband, self.sampling_rate / 2) - self.cutoff


@dataclass(frozen=True)
class LayerDesign:
    """One layer: modulated convolution, then a leaky ReLU at `fine_rate` between two resampling filters."""

    index: int
    source: Signal
    result: Signal
    fine_rate: int  # at which the leaky ReLU works
    up: int
    down: int
    up_taps: int  # 1: no filter
    down_taps: int
    down_radial: bool  # jinc filter: the same cutoff in every direction
    up_bilinear: bool
    padding: tuple[int, int, int, int]  # x0, x1, y0, y1, in samples at fine_rate; negative values crop
    conv_kernel: int
    is_critical: bool  # cutoff at the Nyquist frequency: sharp pictures, at the price of some aliasing
    is_torgb: bool

    @property
    def name(self) -> str:
        """Attribute of the synthesis network: L{index}_{size}_{channels}."""
        return f"L{self.index}_{self.result.size}_{self.result.channels}"

    def up_filter(self) -> torch.Tensor | None:
        """`[taps]`, fp32, or None."""
        if self.up_bilinear and self.up_taps > 1:
            return torch.tensor([tap / sum(BILINEAR_TAPS) for tap in BILINEAR_TAPS])
        return low_pass_filter(self.up_taps, self.source.cutoff, 2 * self.source.half_width, self.fine_rate)

    def down_filter(self) -> torch.Tensor | None:
        """`[taps]`, or `[taps, taps]` where radial, fp32, or None."""
        width = 2 * self.result.half_width
        return low_pass_filter(self.down_taps, self.result.cutoff, width, self.fine_rate, self.down_radial)


def design_layers(
    signals: Sequence[Signal],          # N + 1, the results of each layer and of ToRGB
    num_critical: int,
    conv_kernel: int = 3,
    lrelu_upsampling: int = 2,          # m: the leaky ReLU works at m times the larger sampling rate around it
    use_radial_filters: bool = False,   # jinc filters for downsampling, except in critical layers
    resampling: str = "kaiser",
) -> list[LayerDesign]:  # fmt: skip
    """Resampling factors, filter lengths and padding of every layer (spec §3.3)."""
    designs = []
    last = len(signals) - 1
    for i, result in enumerate(signals):
        source = signals[max(i - 1, 0)]
        is_torgb, is_critical = i == last, i >= last - num_critical
        fine_rate = max(source.sampling_rate, result.sampling_rate) * (1 if is_torgb else lrelu_upsampling)
        up, down = fine_rate // source.sampling_rate, fine_rate // result.sampling_rate
        up_taps = 1 if up == 1 else len(BILINEAR_TAPS) if resampling == "bilinear" else FILTER_SIZE * up
        down_taps = 1 if down == 1 else FILTER_SIZE * down
        kernel = 1 if is_torgb else conv_kernel
        total = (result.size - 1) * down + 1 - (source.size + kernel - 1) * up + up_taps + down_taps - 2
        before = (total + up) // 2  # + up: samples sit at the middle of their pixels at every rate
        designs.append(
            LayerDesign(
                index=i,
                source=source,
                result=result,
                fine_rate=fine_rate,
                up=up,
                down=down,
                up_taps=up_taps,
                down_taps=down_taps,
                down_radial=use_radial_filters and not is_critical,
                up_bilinear=resampling == "bilinear",
                padding=(before, total - before, before, total - before),
                conv_kernel=kernel,
                is_critical=is_critical,
                is_torgb=is_torgb,
            )
        )
    return designs


# ----- schedules


def flexible_schedule(
    resolution: int, num_layers: int, num_critical: int, margin: int, channels: tuple[int, int, int]
) -> list[Signal]:
    """Cutoffs and stopbands that grow geometrically from layer to layer, whatever the sampling rates (spec §3.1).

    The same number of layers serves every resolution: at 1024² they span 2 to 512 cycles, at 16² only 2 to 8, all
    sampled 16 times per picture width. `channels`: (channel_base, channel_max, img_channels).
    """
    steps = [min(i / (num_layers - num_critical), 1.0) for i in range(num_layers + 1)]
    last_cutoff = resolution / 2
    last_stopband = last_cutoff * LAST_STOPBAND_REL
    cutoffs = [FIRST_CUTOFF * (last_cutoff / FIRST_CUTOFF) ** e for e in steps]
    stopbands = [FIRST_STOPBAND * (last_stopband / FIRST_STOPBAND) ** e for e in steps]
    rates = [next_power_of_two(min(2 * stopband, resolution)) for stopband in stopbands]
    return _signals(resolution, rates, cutoffs, stopbands, margin, channels)


def octave_schedule(resolution: int, num_critical: int, margin: int, channels: tuple[int, int, int]) -> list[Signal]:
    """StyleGAN2's staircase, two layers per sampling rate 4, 8, … R, for configurations D to H (spec §5, inferred).

    The last `num_critical` layers are sampled critically, f_c = s/2, with a transition band that reaches √2 s/2; the
    others have the same transition band below s/2.
    """
    rates = [4 * 2 ** (i // 2) for i in range(octave_layers(resolution))] + [resolution]
    first_critical = len(rates) - 1 - num_critical
    half_widths = [(math.sqrt(2) - 1) * rate / 2 for rate in rates]
    cutoffs = [rate / 2 if i >= first_critical else rate / 2 - half_widths[i] for i, rate in enumerate(rates)]
    stopbands = [cutoff + half_width for cutoff, half_width in zip(cutoffs, half_widths, strict=True)]
    return _signals(resolution, rates, cutoffs, stopbands, margin, channels)


def octave_layers(resolution: int) -> int:
    """N of `octave_schedule`: 14 at 256²."""
    return 2 * (resolution.bit_length() - 2)


def next_power_of_two(value: float) -> int:
    """The smallest one that is not below `value`. A hair above one counts as it: rounding must not double a rate."""
    return 2 ** math.ceil(math.log2(value) - 1e-9)


def _signals(
    resolution: int,
    rates: Sequence[int],
    cutoffs: Sequence[float],
    stopbands: Sequence[float],
    margin: int,
    channels: tuple[int, int, int],
) -> list[Signal]:
    """Sizes (the last two without margin) and channels of a schedule. Raises ValueError where no channel is left."""
    channel_base, channel_max, img_channels = channels
    signals = []
    for i, (rate, cutoff, stopband) in enumerate(zip(rates, cutoffs, stopbands, strict=True)):
        is_torgb, crops_margin = i == len(rates) - 1, i >= len(rates) - 2
        size = resolution if crops_margin else rate + 2 * margin
        width = img_channels if is_torgb else round(min(channel_base / 2 / cutoff, channel_max))
        if width < 1:
            raise ValueError(f"channel_base {channel_base} leaves no channels at {rate}²")
        signals.append(Signal(rate, cutoff, stopband, size, width))
    return signals


# ----- filters


def low_pass_filter(taps: int, cutoff: float, width: float, rate: float, radial: bool = False) -> torch.Tensor | None:
    """Kaiser-windowed sinc `[taps]`, or jinc `[taps, taps]` where radial, with sum 1, fp32 (spec §3.3).

    cutoff, width  middle and full width of the transition band, in the units of `rate`.
    One tap means no filter: None.
    """
    if taps == 1:
        return None
    positions = (np.arange(taps) - (taps - 1) / 2) / rate
    window = np.kaiser(taps, kaiser_beta(kaiser_attenuation(taps, width / (rate / 2))))
    if radial:
        from scipy.special import j1

        r = np.hypot(positions[:, None], positions[None, :])  # > 0: an even number of taps has none in the centre
        f = j1(2 * np.pi * cutoff * r) / (np.pi * r) * np.outer(window, window)
    else:
        f = np.sinc(2 * cutoff * positions) * window
    return torch.tensor(f / f.sum(), dtype=torch.float32)


def kaiser_attenuation(taps: int, width: float) -> float:
    """Stopband attenuation in dB of a Kaiser filter whose transition band is `width` times the Nyquist frequency."""
    return 2.285 * (taps - 1) * math.pi * width + 7.95


def kaiser_beta(attenuation: float) -> float:
    """The shape of the Kaiser window that reaches `attenuation` dB (Kaiser's empirical formula)."""
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return 0.0
