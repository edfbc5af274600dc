"""`sg data augment-preview`: what augmentations do to pictures, to look at before training with them."""

from __future__ import annotations

from typing import Annotated

import typer

from sgcli.commands import options
from sgcli.errors import UsageError


def augment_preview(
    src: Annotated[str, typer.Argument(metavar="DATA", help="A data set: a folder or zip of square pictures.")],
    output: options.Output = None,
    aug_pipe: Annotated[
        str, typer.Option("--aug-pipe", metavar="bgc|blit|…", help="Which transforms, as in sg train.")
    ] = "bgc",
    num: Annotated[int, typer.Option("--num", min=1, max=64, help="Pictures to show at each strength.")] = 4,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
) -> None:
    """Draw every transform at several strengths, and below it what D sees at rising p.

    \b
    sg data augment-preview faces.zip -o preview.png
    sg data augment-preview faces.zip --aug-pipe bgcfnc --num 8 -o all.png
    """
    from sgcli.media import streams

    streams.check_output(output, "pictures", "preview.png")

    import torch

    from sgcli.data.dataset import open_dataset
    from sgcli.progress import notice
    from sgcli.training.augment import PRESETS, names_of
    from sgcli.training.augment_preview import names_for, preview

    if aug_pipe not in PRESETS:
        raise UsageError(f"--aug-pipe {aug_pipe}: one of {', '.join(PRESETS)}", "--aug-pipe bgc")
    dataset = open_dataset(src, max_images=num, seed=seed)
    names = names_of(aug_pipe)
    left_out = [name for name in names if name not in names_for(dataset.num_channels, names)]
    if len(left_out) == len(names):
        raise UsageError(
            f"--aug-pipe {aug_pipe}: changes nothing in pictures of {dataset.num_channels} channels", "--aug-pipe bg"
        )
    if left_out:
        notice(f"pictures of {dataset.num_channels} channels: {', '.join(left_out)} left out")
    images = torch.from_numpy(dataset.images(range(len(dataset)))).float() / 127.5 - 1
    streams.write_picture(preview(images, names, seed), output)
