"""Labels and attributes of the images of a data set, from `dataset.json` or from subfolders.

`dataset.json` has the field's layout (spec stylegan2-ada, section 7) with three optional additions:

    {"labels": [["00000/img00000000.png", 3], ...] or null,      class numbers, or lists of numbers
     "class_names": ["cat", "dog", ...],
     "attributes": {"names": ["smiling", ...], "values": {"00000/img00000000.png": [1, ...], ...}},
     "source": {...}}                                            where the pictures came from
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sgcli.data.faults import DATASET_JSON, Fault, UnreadableFile, check_command
from sgcli.data.source import Source
from sgcli.errors import UsageError

MODES = ("auto", "none", "json", "subfolders")
MAX_CLASSES = 100_000
FLOAT32_MAX = 3.4e38
Label: TypeAlias = "int | list[float]"  # a class number, or a vector used as it is


@dataclass
class Annotations:
    """What is known about the images of a data set besides their pixels, by name."""

    labels: dict[str, Label] | None = None
    class_names: list[str] | None = None
    attribute_names: list[str] | None = None
    attributes: dict[str, list[float]] = field(default_factory=dict)
    origin: dict | None = None  # the entry "source" of dataset.json
    faults: list[Fault] = field(default_factory=list)

    @property
    def label_dim(self) -> int:
        """Width of a label vector: 0 without labels, the number of classes for class numbers."""
        if not self.labels:
            return 0
        vectors = [label for label in self.labels.values() if isinstance(label, list)]
        if vectors:
            return len(vectors[0])
        largest = max(label for label in self.labels.values() if isinstance(label, int))
        return max(largest + 1, len(self.class_names or ()))

    def label_array(self, names: Sequence[str]) -> np.ndarray:
        """Labels of `names`: int64 [N] of class numbers, or float32 [N, label_dim]; [N, 0] without labels."""
        if not self.labels:
            return np.zeros((len(names), 0), np.float32)
        labels = [self.labels[name] for name in names]
        return np.array(labels, np.int64 if isinstance(labels[0], int) else np.float32)


def read_annotations(source: Source, mode: str = "auto") -> Annotations:
    """Read the labels and attributes of `source`; what is wrong with them is in `faults` of the result.

    mode: 'auto' takes labels from dataset.json where it has some, 'json' insists on them, 'subfolders' takes the first
    folder of each name as its class, 'none' takes no labels and forgives a damaged dataset.json.
    Raises UsageError where `mode` asks for labels that are not there.
    """
    if mode not in MODES:
        raise UsageError(f"--labels {mode}: not a source of labels", f"--labels {'|'.join(MODES)}")
    result = Annotations()
    content = _parse(source, result.faults)
    origin = content.get("source")
    result.origin = origin if isinstance(origin, dict) else None
    if mode == "subfolders":
        _take_labels_from_subfolders(source, result)
    elif mode != "none" and content.get("labels") is not None:
        _take_labels(source, content["labels"], content.get("class_names"), result)
    elif mode == "json" and not result.faults:
        raise UsageError(
            f"--labels json: {source.path} has no {DATASET_JSON} with labels", check_command(source.path, "subfolders")
        )
    if content.get("attributes") is not None:
        _take_attributes(source, content["attributes"], result)
    if mode == "none" and result.faults:
        return Annotations(origin=result.origin)
    return result


def _parse(source: Source, faults: list[Fault]) -> dict:
    try:
        data = source.read_annotations()
        content = json.loads(data) if data is not None else {}
    except UnreadableFile as error:
        faults.append(Fault("bad-annotations", DATASET_JSON, error.reason))
    except (ValueError, RecursionError) as error:
        faults.append(Fault("bad-annotations", DATASET_JSON, f"not JSON: {error}"))
    else:
        if isinstance(content, dict):
            return content
        faults.append(Fault("bad-annotations", DATASET_JSON, "not an object with labels"))
    return {}


def _take_labels_from_subfolders(source: Source, result: Annotations) -> None:
    parts = {name: name.split("/")[source.root_parts :] for name in source.names}
    folders = {name: inner[0] for name, inner in parts.items() if len(inner) > 1}
    result.class_names = sorted(set(folders.values()))
    numbers = {folder: number for number, folder in enumerate(result.class_names)}
    result.labels = {name: numbers[folder] for name, folder in folders.items()}
    for name in source.names:
        if name not in folders:
            result.faults.append(Fault("missing-label", name, "not in a subfolder"))


def _take_labels(source: Source, pairs: Any, class_names: Any, result: Annotations) -> None:
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        result.faults.append(Fault("bad-annotations", DATASET_JSON, "labels: a list of [name, label] pairs is needed"))
        return
    given = dict(pairs)
    images = set(source.names)
    result.faults += [Fault("extra-label", name) for name in given if name not in images]
    result.faults += [Fault("missing-label", name) for name in source.names if name not in given]
    forms = {name: _form(label) for name, label in given.items() if name in images}
    usual_form = max(Counter(form for form in forms.values() if form).items(), key=_by_count, default=(None,))[0]
    for name, form in forms.items():
        if form is None or form != usual_form:
            result.faults.append(Fault("bad-label", name, _describe_bad_label(given[name], form, usual_form)))
    result.labels = {name: given[name] for name, form in forms.items() if form == usual_form}
    _take_class_names(class_names, result)


def _take_class_names(class_names: Any, result: Annotations) -> None:
    if class_names is None:
        return
    if not isinstance(class_names, list) or not all(isinstance(name, str) for name in class_names):
        result.faults.append(Fault("bad-annotations", DATASET_JSON, "class_names: a list of names is needed"))
    elif len(class_names) < result.label_dim:
        detail = f"class_names: {len(class_names)} names for {result.label_dim} classes"
        result.faults.append(Fault("bad-annotations", DATASET_JSON, detail))
    else:
        result.class_names = class_names


def _take_attributes(source: Source, content: Any, result: Annotations) -> None:
    names, values = (content.get("names"), content.get("values")) if isinstance(content, dict) else (None, None)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not isinstance(values, dict):
        detail = "attributes: a list of names and an object of values are needed"
        result.faults.append(Fault("bad-annotations", DATASET_JSON, detail))
        return
    result.attribute_names = names
    for name in source.names:
        if name not in values:
            result.faults.append(Fault("missing-attributes", name))
        elif not _is_vector(values[name]) or len(values[name]) != len(names):
            result.faults.append(Fault("missing-attributes", name, f"{len(names)} numbers are needed"))
        else:
            result.attributes[name] = values[name]


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)


def _form(label: Any) -> str | None:
    """What kind of label this is, in words; None for what is no label at all."""
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < MAX_CLASSES:
        return "a class number"
    if _is_vector(label):
        return f"a list of {len(label)}"
    return None


def _is_vector(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(number, (int, float)) and abs(number) <= FLOAT32_MAX for number in value)
    )


def _by_count(item: tuple[str, int]) -> int:
    return item[1]


def _describe_bad_label(label: Any, form: str | None, usual_form: str | None) -> str:
    if form is None:
        return f"{json.dumps(label)[:40]}: neither a class number from 0 to {MAX_CLASSES - 1} nor a list of numbers"
    return f"{form}, where most have {usual_form}"
