"""Labels and attributes in all their forms, and what can be wrong with them."""

import json

import numpy as np
import pytest

from sgcli.data.labels import read_annotations
from sgcli.data.source import open_source
from sgcli.errors import UsageError

NAMES = ["cat/0.png", "cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png", "dog/5.png"]


def annotate(folder, content, mode="auto"):
    (folder / "dataset.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return read_annotations(open_source(folder), mode)


def kinds(annotations):
    return {fault.file: fault.kind for fault in annotations.faults}


def pairs(labels):
    return [[name, label] for name, label in zip(NAMES, labels, strict=True)]


def test_class_numbers(folder):
    annotations = annotate(folder, {"labels": pairs([0, 1, 4, 0, 1, 0])})
    assert annotations.label_dim == 5 and not annotations.faults
    assert annotations.label_array(NAMES[1:3]).tolist() == [1, 4]


def test_vectors(folder):
    annotations = annotate(folder, {"labels": pairs([[i, 0.5] for i in range(6)])})
    assert annotations.label_dim == 2 and not annotations.faults
    assert annotations.label_array(NAMES[1:3]).tolist() == [[1, 0.5], [2, 0.5]]


@pytest.mark.parametrize("content", [{}, {"labels": None}, {"labels": None, "source": {"a": 1}}])
def test_no_labels(folder, content):
    annotations = annotate(folder, content)
    assert annotations.label_dim == 0 and annotations.labels is None and not annotations.faults
    assert annotations.label_array(NAMES).shape == (6, 0)
    with pytest.raises(UsageError, match=r"has no dataset\.json with labels"):
        annotate(folder, content, "json")


def test_without_dataset_json(folder):
    assert read_annotations(open_source(folder)).labels is None
    with pytest.raises(UsageError, match=r"has no dataset\.json with labels"):
        read_annotations(open_source(folder), "json")
    with pytest.raises(UsageError, match="not a source of labels"):
        read_annotations(open_source(folder), "filenames")


def test_subfolders(folder, draw):
    annotations = read_annotations(open_source(folder), "subfolders")
    assert annotations.class_names == ["cat", "dog"] and annotations.label_dim == 2
    assert annotations.label_array(NAMES).tolist() == [0, 0, 0, 1, 1, 1]
    draw(folder / "stray.png")
    assert kinds(read_annotations(open_source(folder), "subfolders")) == {"stray.png": "missing-label"}


def test_class_names(folder):
    labels = pairs([0, 1, 1, 0, 1, 0])
    assert annotate(folder, {"labels": labels, "class_names": ["a", "b", "c"]}).label_dim == 3
    assert kinds(annotate(folder, {"labels": labels, "class_names": ["a"]})) == {"dataset.json": "bad-annotations"}
    assert kinds(annotate(folder, {"labels": labels, "class_names": "ab"})) == {"dataset.json": "bad-annotations"}


def test_missing_and_extra_entries(folder):
    content = {"labels": [*pairs([0, 1, 4, 0, 1, 0])[:-2], ["typo.png", 3]]}
    annotations = annotate(folder, content)
    assert kinds(annotations) == {
        "dog/4.png": "missing-label",
        "dog/5.png": "missing-label",
        "typo.png": "extra-label",
    }
    assert not annotate(folder, content, "none").faults


@pytest.mark.parametrize(
    "label", [-1, 10**9, True, 1.5, "cat", None, [], [1, "x"], [float("nan")], [10**400], [0, 1], {}]
)
def test_bad_labels(folder, label):
    assert kinds(annotate(folder, {"labels": pairs([0, 1, 2, label, 0, 0])})) == {"dog/3.png": "bad-label"}


def test_vectors_of_other_length(folder):
    annotations = annotate(folder, {"labels": pairs([[1, 2]] * 5 + [[1, 2, 3]])})
    assert [fault.detail for fault in annotations.faults] == ["a list of 3, where most have a list of 2"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "\x80", "[" * 100_000, '{"labels": 3}', '{"labels": [["a"]]}', '{"labels": [[1, 2]]}'],
)
def test_damaged_dataset_json(folder, content):
    assert kinds(annotate(folder, content)) == {"dataset.json": "bad-annotations"}
    assert not annotate(folder, content, "none").faults


def test_attributes(folder):
    values = {name: [number, 1] for number, name in enumerate(NAMES)}
    content = {"labels": None, "attributes": {"names": ["number", "one"], "values": values}, "source": {"seed": 1}}
    annotations = annotate(folder, content)
    assert annotations.attribute_names == ["number", "one"] and annotations.origin == {"seed": 1}
    assert np.array_equal([annotations.attributes[name] for name in NAMES], [[i, 1] for i in range(6)])
    del values[NAMES[0]]
    values[NAMES[1]] = [1]
    assert kinds(annotate(folder, content)) == dict.fromkeys(NAMES[:2], "missing-attributes")


@pytest.mark.parametrize("attributes", [3, {}, {"names": ["a"]}, {"names": [1], "values": {}}])
def test_damaged_attributes(folder, attributes):
    assert kinds(annotate(folder, {"attributes": attributes})) == {"dataset.json": "bad-annotations"}
