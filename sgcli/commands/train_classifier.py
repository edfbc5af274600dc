"""`sg train-classifier`: networks that tell attributes, for linear separability and for finding directions."""

from __future__ import annotations

import difflib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgcli.commands import options
from sgcli.errors import Interrupted, UsageError
from sgcli.progress import warn

if TYPE_CHECKING:
    from sgcli.data.dataset import ImageDataset
    from sgcli.training.classifier import Recipe, Trained


def train_classifier(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder or zip with attributes in its dataset.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.safetensors", help="Where to write.")],
    attributes: Annotated[
        str, typer.Option("--attributes", metavar="all|NAME,NAME…", help="Which attributes to learn.")
    ] = "all",
    separate: Annotated[
        bool, typer.Option("--separate", help="A network for each attribute, as in the paper, instead of one for all.")
    ] = False,
    kimg: Annotated[float, typer.Option("--kimg", min=0.001, help="Thousands of pictures seen by each network.")] = 150,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Pictures per step.")] = 16,
    lr: Annotated[float, typer.Option("--lr", min=1e-7, max=1.0, help="Learning rate.")] = 0.004,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line, also on a terminal.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Train classifiers of attributes, and tell how often they are right about pictures they have not seen.

    sg data synth faces.zip --size 32

    sg train-classifier faces.zip --attributes all -o clf.safetensors

    sg metrics separability -m MODEL --classifier clf.safetensors
    """
    check_output(output)

    from sgcli.data.dataset import open_dataset
    from sgcli.features.classifier import save_classifier
    from sgcli.training.classifier import Recipe, train_classifiers

    dataset = open_dataset(data)
    names = choose_attributes(dataset, attributes)
    recipe = Recipe(max(round(kimg * 1000), 1), batch, lr, seed)
    groups = [[name] for name in names] if separate else [names]
    trained, stopped = train_classifiers(dataset, groups, recipe, options.resolve_device(device))
    lines = [line for one in trained for line in describe(one, dataset, recipe)]
    if trained:
        save_classifier(
            output,
            [one.network for one in trained],
            [one.specification for one in trained],
            [one.attributes for one in trained],
            {"accuracy": {line["attribute"]: line["value"] for line in lines}, "data": dataset.describe()},
        )
    report(lines, as_json or not sys.stdout.isatty())
    if stopped is not None:
        kept = f"{output} holds what was learnt until then" if trained else "nothing was learnt, nothing written"
        raise Interrupted(stopped.exit_status - 128, f"interrupted; {kept}")


def check_output(output: Path) -> None:
    """Raise before hours of training for a place that cannot be written."""
    from sgcli.errors import SgError
    from sgcli.files import check_writable_folder

    if output.suffix != ".safetensors":
        raise UsageError(
            f"-o {output}: classifiers are kept as .safetensors", f"-o {output.with_suffix('.safetensors')}"
        )
    if output.is_dir():
        raise SgError(f"-o {output}: is a folder, a file was expected", f"-o {output / 'clf.safetensors'}")
    check_writable_folder(output.parent)


def choose_attributes(dataset: ImageDataset, wanted: str) -> list[str]:
    """The attributes asked for that some pictures have and others lack. Raises UsageError where there are none."""
    if dataset.attributes is None or not dataset.attributes.names:
        raise UsageError(
            f"{dataset.path}: its dataset.json has no attributes to learn",
            "docs/datasets.md tells how to add them; sg data synth makes pictures that have some",
        )
    known = dataset.attributes.names
    names = known if wanted == "all" else [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1) or ["all"]
            raise UsageError(f"--attributes {name}: {dataset.path} has {', '.join(known)}", f"--attributes {close[0]}")
    shares = dict(zip(known, (dataset.attributes.values > 0).mean(axis=0), strict=True))
    varied = [name for name in dict.fromkeys(names) if 0 < shares[name] < 1]
    for name in dict.fromkeys(names):
        if name not in varied:
            warn(f"{name}: left out, {'all pictures have' if shares[name] else 'no picture has'} it")
    if not varied:
        raise UsageError(f"--attributes {wanted}: none that some pictures have and others lack", "--attributes all")
    return varied


def describe(one: Trained, dataset: ImageDataset, recipe: Recipe) -> list[dict[str, Any]]:
    """One line of results per attribute: its accuracy, beside that of always giving the more frequent answer."""
    from sgcli import __version__

    assert dataset.attributes is not None
    lines = []
    for name, accuracy in zip(one.attributes, one.accuracy, strict=True):
        share = float((dataset.attributes.values[:, dataset.attributes.names.index(name)] > 0).mean())
        lines.append(
            {
                "name": "accuracy",
                "value": round(accuracy, 5),
                "attribute": name,
                "chance": round(max(share, 1 - share), 5),
                "data": str(dataset.path),
                "data_fingerprint": dataset.fingerprint(),
                "kimg": one.num_images / 1000,
                "batch": recipe.batch,
                "lr": recipe.lr,
                "seed": recipe.seed,
                "version": __version__,
            }
        )
    return lines


def report(lines: list[dict[str, Any]], as_json: bool) -> None:
    """A table on a terminal, else one JSON object per line."""
    if as_json:
        for line in lines:
            print(json.dumps(line))
        return
    width = max((len(line["attribute"]) for line in lines), default=0)
    for line in lines:
        print(
            f"{line['attribute']:{width}}  right {line['value']:6.1%}  (always the same answer: {line['chance']:.1%})"
        )
