"""A command-line toolkit for the whole StyleGAN line."""

__version__ = "0.1.0"
