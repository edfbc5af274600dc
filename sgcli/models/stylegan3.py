"""StyleGAN3 generator (spec stylegan3 §1 to §3): configurations T and R, and D to H of the paper's ladder.

Attribute names follow the official parameter names (`synthesis.L3_52_512.affine.weight`).
Legend: N batch, I in and O out channels, K kernel size, W w_dim, S samples per side.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from sgcli.distributed.group import Group
from sgcli.models import base
from sgcli.models import stylegan3_design as design
from sgcli.models.fourier_input import FourierInput
from sgcli.models.layers import FullyConnectedLayer, MappingNetwork
from sgcli.models.noise import NoiseChoice, NoiseLayer
from sgcli.models.precision import block_dtype
from sgcli.models.style_layers import StyleLayer
from sgcli.ops import native
from sgcli.ops.conv2d import conv2d
from sgcli.ops.filtered_lrelu import filtered_lrelu
from sgcli.ops.modulated_conv2d import kernel_energy, mix_channels, scale_channels

OUTPUT_SCALE = 0.25  # the layers work in a range of ±4
LANES = 16  # channels that native operators take together: a line of memory, in float32


class SynthesisLayer(nn.Module):
    """Modulated convolution of an input brought to unit magnitude, then a leaky ReLU between filters (spec §3.4)."""

    magnitude_ema: torch.Tensor  # [], moving average of the input's mean square
    up_filter: torch.Tensor | None
    down_filter: torch.Tensor | None

    def __init__(
        self,
        plan: design.LayerDesign,
        w_dim: int,
        low_precision: bool = False,      # run in half precision where the device is made for it
        conv_clamp: float | None = None,
        magnitude_ema_kimg: float = 20,   # half-life of magnitude_ema
    ):  # fmt: skip
        super().__init__()
        self.design, self.conv_clamp, self.magnitude_ema_kimg = plan, conv_clamp, magnitude_ema_kimg
        self.low_precision, self.precision = low_precision, "auto"
        self.group = Group()  # the workers that a batch is dealt to
        in_channels, out_channels, k = plan.source.channels, plan.result.channels, plan.conv_kernel
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, k, k))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.register_buffer("up_filter", plan.up_filter())
        self.register_buffer("down_filter", plan.down_filter())

    def forward(self, x: torch.Tensor, w: torch.Tensor, update_emas: bool = False) -> torch.Tensor:
        """x `[N, I, S_in, S_in]`, w `[N, W]` -> `[N, O, S_out, S_out]`."""
        if update_emas:
            self.track_magnitude(x)
        plan = self.design
        x = x.to(block_dtype(self.precision, self.low_precision, x.device))
        x, scale = self.convolve(x, w)
        b = self.bias.to(x.dtype)
        spare = x.shape[1] - len(b)
        y = filtered_lrelu(
            x,
            fu=self.up_filter,
            fd=self.down_filter,
            b=F.pad(b, (0, spare)) if spare else b,
            up=plan.up,
            down=plan.down,
            padding=plan.padding,
            gain=1.0 if plan.is_torgb else math.sqrt(2),
            slope=1.0 if plan.is_torgb else 0.2,
            clamp=self.conv_clamp,
            scale=scale,
        )
        return y[:, : len(b)] if spare else y

    def convolve(self, x: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Convolve x `[N, I, H, W]` as w `[N, W]` wants it, in x's dtype.

        Returns `[N, O, H + K - 1, W + K - 1]` (it grows, and the margin pays for it), and a scale `[N, O]` by which
        that is still to be multiplied; None for 1. Spare channels of zeros may follow where K is 1.
        """
        weight, in_scale, out_scale = self.modulation(w, x.dtype)
        k = weight.shape[2]
        if k == 1:
            weights = weight[None, :, :, 0, 0] * in_scale[:, None, :] * out_scale[:, :, None]
            if self.fills_lines(x):
                weights = F.pad(weights, (0, 0, 0, -weights.shape[1] % LANES))
            return mix_channels(x, weights), None
        if len(x) == 1 and weight.numel() < x.numel():  # a single picture's styles go where there is less to scale
            weight = weight * in_scale[:, :, None, None]
        else:
            x = scale_channels(x, in_scale)
        return conv2d(x, weight.to(x.dtype), padding=k - 1), out_scale

    def fills_lines(self, x: torch.Tensor) -> bool:
        """Whether pixels had better begin on lines of memory: what filters them on a CPU then writes whole lines."""
        is_inference = not torch.is_grad_enabled() and not self.design.is_torgb
        return is_inference and x.is_cpu and x.stride(1) == 1 and native.use_native("auto", x, "filtered_lrelu")

    def modulation(self, w: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A weight `[O, I, K, K]` for the whole batch, scales of its input `[N, I]`, and of its output `[N, O]`.

        Demodulation takes out any scale of the weights and of a sample's styles. Those of the styles are normalised,
        each sample's by itself, so that its picture does not depend on the batch. The weights are where float16
        (`dtype`) would overflow; elsewhere demodulation reckons with their norm, which costs much less.
        """
        styles = self.affine(w)
        input_gain = self.magnitude_ema.rsqrt()
        fan_in = self.weight[0].numel()
        if self.design.is_torgb:
            out_scale = input_gain.expand(w.shape[0], self.weight.shape[0])
            return self.weight, styles / math.sqrt(fan_in), out_scale
        weight: torch.Tensor = self.weight
        if dtype == torch.float16:
            weight = weight * (weight.square().mean(dim=[1, 2, 3], keepdim=True) * fan_in).rsqrt()
        styles = styles * styles.square().mean(dim=1, keepdim=True).rsqrt()
        energy = kernel_energy(weight)  # [O, I]
        epsilon = 1e-8 / fan_in * energy.sum(dim=1)  # for weights of norm 1, it would be 1e-8 / fan_in
        return weight, styles, (styles.square() @ energy.T + epsilon).rsqrt() * input_gain

    @torch.no_grad()
    def track_magnitude(self, x: torch.Tensor) -> None:
        decay = 0.5 ** (len(x) * self.group.world / (self.magnitude_ema_kimg * 1000))
        mean_square = self.group.mean(x.to(torch.float32).square().mean())
        self.magnitude_ema.copy_(mean_square.lerp(self.magnitude_ema, decay))


class SynthesisNetwork(base.Synthesis):
    """ws to pictures: Fourier features, num_layers layers, ToRGB. There is no noise."""

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int = 32768,
        channel_max: int = 512,
        channel_multiplier: int = 1,       # of both: 1x1 convolutions (R) take 2
        conv_kernel: int = 3,              # 1: R
        use_radial_filters: bool = False,  # R
        schedule: str = "flexible",        # "octaves": D to H
        num_layers: int = 14,              # of the flexible schedule
        num_critical: int | None = 2,      # layers sampled critically, at the end; None: all
        margin_size: int = 10,             # samples computed around the picture, at every rate
        resampling: str = "kaiser",        # "bilinear": D
        lrelu_upsampling: int = 2,         # 1: D and E
        learned_transform: bool = True,    # w[0] turns and moves the input; False: D to G
        num_fp16_res: int = 4,             # the highest octaves that run in half precision on a GPU
        conv_clamp: float | None = 256,
        magnitude_ema_kimg: float = 20,
    ):  # fmt: skip
        super().__init__()
        check_sizes(img_resolution, schedule, resampling)
        self.w_dim, self.img_resolution, self.img_channels = w_dim, img_resolution, img_channels
        channels = (channel_base * channel_multiplier, channel_max * channel_multiplier, img_channels)
        if schedule == "octaves":
            num_critical = design.octave_layers(img_resolution) if num_critical is None else num_critical
            signals = design.octave_schedule(img_resolution, num_critical, margin_size, channels)
        else:
            num_critical = num_layers - 1 if num_critical is None else num_critical
            signals = design.flexible_schedule(img_resolution, num_layers, num_critical, margin_size, channels)
        self.designs = design.design_layers(
            signals, num_critical, conv_kernel, lrelu_upsampling, use_radial_filters, resampling
        )
        first = signals[0]
        self.input = FourierInput(
            w_dim,
            first.channels,
            size=first.sampling_rate + 2 * margin_size,
            sampling_rate=first.sampling_rate,
            bandwidth=first.cutoff,
            learned_transform=learned_transform,
        )
        for plan in self.designs:
            low_precision = plan.result.sampling_rate * 2**num_fp16_res > img_resolution
            layer = SynthesisLayer(plan, w_dim, low_precision, conv_clamp, magnitude_ema_kimg)
            setattr(self, plan.name, layer)
        self.num_ws = len(self.designs) + int(learned_transform)
        self.turns = conv_kernel == 1

    def layers(self) -> list[SynthesisLayer]:
        return [getattr(self, plan.name) for plan in self.designs]

    def noise_layers(self) -> list[NoiseLayer]:
        return []

    def style_layers(self) -> list[StyleLayer]:
        signals = [(plan.name, plan.result) for plan in self.designs]
        if self.input.learned_transform:
            signals.insert(0, ("input", self.designs[0].source))
        return [StyleLayer(name, signal.sampling_rate, signal.cutoff) for name, signal in signals]

    def forward(self, ws: torch.Tensor, noise: NoiseChoice = "random", update_emas: bool = False) -> torch.Tensor:
        assert ws.ndim == 3 and ws.shape[1] == self.num_ws, f"ws is [N, {self.num_ws}, {self.w_dim}]"
        ws = ws.to(torch.float32)
        x = self.input(ws[:, 0])
        for layer, w in zip(self.layers(), ws[:, self.num_ws - len(self.designs) :].unbind(dim=1), strict=True):
            x = layer(x, w, update_emas)
        return (x * OUTPUT_SCALE).to(torch.float32)


def check_sizes(img_resolution: int, schedule: str, resampling: str) -> None:
    """Raise ValueError for what no network can be designed from."""
    if img_resolution < 16 or img_resolution & (img_resolution - 1):
        raise ValueError(f"img_resolution: {img_resolution} is not a power of two from 16 up")
    for name, value, known in (
        ("schedule", schedule, design.SCHEDULES),
        ("resampling", resampling, design.RESAMPLINGS),
    ):
        if value not in known:
            raise ValueError(f"{name}: '{value}' is unknown; one of {', '.join(known)}")


class Generator(base.Generator):
    """StyleGAN3: `mapping(z, c) -> ws`, `synthesis(ws) -> picture`. `synthesis.input.transform` moves the picture."""

    synthesis: SynthesisNetwork

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int = 256,
        img_channels: int = 3,
        mapping_layers: int = 2,
        **synthesis_options,               # see SynthesisNetwork
    ):  # fmt: skip
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.synthesis = SynthesisNetwork(w_dim, img_resolution, img_channels, **synthesis_options)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, num_layers=mapping_layers)
