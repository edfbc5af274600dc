"""Text on pictures, in the font that comes with Pillow, so that it looks the same on every machine."""

from __future__ import annotations

import functools
import unicodedata

from PIL import Image, ImageDraw, ImageFont

# The font knows Latin letters without accents; what else our captions use is spelled out.
SPELLED_OUT = {
    "ψ": "psi",
    "γ": "gamma",
    "λ": "lambda",
    "σ": "sigma",
    "μ": "mu",
    "α": "alpha",
    "β": "beta",
    "×": "x",
    "−": "-",
    "°": " deg",
    "²": "^2",
    "±": "+/-",
}


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font at `size` pixels."""
    return ImageFont.load_default(size)  # type: ignore[return-value]  # FreeType whenever a size is given


def spell_out(text: str) -> str:
    """Replace what the font cannot show: 'ψ' by 'psi', 'é' by 'e', anything unknown by '?'."""
    for sign, name in SPELLED_OUT.items():
        text = text.replace(sign, name)
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return "".join(char if char.isascii() or char in "·…–" else "?" for char in plain)


def text_size(text: str, size: int) -> tuple[int, int]:
    """Width and height in pixels of `text` at font `size`; lines may be parted by a line feed."""
    lines = spell_out(text).split("\n")
    return round(max(font(size).getlength(line) for line in lines)), line_height(size) * len(lines)


def line_height(size: int) -> int:
    """Distance in pixels between two lines of text at font `size`."""
    return round(size * 1.25)


def draw_text(
    canvas: Image.Image,
    position: tuple[float, float],
    text: str,
    size: int,
    color: tuple[int, int, int],
    anchor: str = "la",
) -> None:
    """Draw `text` on `canvas`. The box of `text_size` lies at `position` by `anchor`: l, m, r across; a, m, d down."""
    draw = ImageDraw.Draw(canvas)
    lines = spell_out(text).split("\n")
    x, y = position
    top = y - {"a": 0.0, "m": 0.5, "d": 1.0}[anchor[1]] * line_height(size) * len(lines)
    for number, line in enumerate(lines):
        middle = top + (number + 0.5) * line_height(size)
        draw.text((x, middle), line, fill=color, font=font(size), anchor=anchor[0] + "m")
