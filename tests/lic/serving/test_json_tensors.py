"""TensorFlow Serving's JSON, also of inputs and outputs that our own signatures don't have."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from lic.serving import json_tensors
from lic.serving.limits import Limits
from lic.serving.refusals import Refusal

LIMITS = Limits(10_000, 10_000)
SPECS = {"x_bytes": tf.TensorSpec((None,), tf.string), "y": tf.TensorSpec((None, 2), tf.float32)}
FLAGS = {"flag": tf.TensorSpec((None,), tf.bool)}
NUMBERS = {"n": tf.TensorSpec(None, tf.uint8)}


def _arrays(specs, **document):
    return json_tensors.parse(json.dumps(document).encode()).arrays(specs, LIMITS)


def test_rows_and_columns_of_several_inputs():
    rows = _arrays(SPECS, instances=[{"x_bytes": {"b64": "AAE="}, "y": [1, 2.5]}, {"x_bytes": "é", "y": [3, 4]}])
    columns = _arrays(SPECS, inputs={"x_bytes": [{"b64": "AAE"}, "é"], "y": [[1, 2.5], [3, 4]]})
    for found in (rows, columns):
        assert found["x_bytes"].tolist() == [b"\0\1", "é".encode()]
        assert found["y"].dtype == np.float32 and found["y"].tolist() == [[1, 2.5], [3, 4]]


def test_one_input_needs_no_name_and_keeps_its_shape():
    assert _arrays(FLAGS, instances=[True, False])["flag"].tolist() == [True, False]
    for values in (7, [], [1, 2], [[[1], [2]]]):
        assert _arrays(NUMBERS, inputs=values)["n"].tolist() == values


@pytest.mark.parametrize(("specs", "document"), [
    (NUMBERS, {"inputs": [[1, 2], [3]]}), (NUMBERS, {"inputs": [[1], 2]}), (NUMBERS, {"inputs": [1, [2]]}),
    (NUMBERS, {"inputs": [1.5]}), (NUMBERS, {"inputs": [True]}), (NUMBERS, {"inputs": [300]}),
    (NUMBERS, {"inputs": json.loads("[" * 600 + "]" * 600)}), (NUMBERS, {"inputs": ["1"]}),
    (NUMBERS, {"inputs": None}), (NUMBERS, {"inputs": [0] * 10_001}),
    (FLAGS, {"inputs": [1]}), (SPECS, {"inputs": [1]}), (SPECS, {"inputs": {"y": [[1, 2]]}}),
    (SPECS, {"instances": [{"y": [1, 2]}]}), (SPECS, {"instances": [{"x_bytes": "", "y": [1, 2]}, 7]}),
    (SPECS, {"inputs": {"x_bytes": [""] * 1025, "y": [[1, 2]]}})], ids=lambda value: str(value)[:60])
def test_what_does_not_fit_is_refused_in_one_line(specs, document):
    with pytest.raises(Refusal) as refusal:
        _arrays(specs, **document)
    assert str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("document", [
    [], {}, {"inputs": [], "instances": [1]}, {"instances": []}, {"instances": 7}, {"inputs": 1, "signature_name": 7}],
    ids=str)
def test_documents_of_another_form_are_refused(document):
    with pytest.raises(Refusal):
        json_tensors.parse(json.dumps(document).encode())


def test_answers_are_rows_or_columns_as_the_request_was():
    outputs = {"a_bytes": np.array([b"\0\1", b""], object), "b": np.array([[1, 2], [3, 4]], np.int32)}
    by_rows, by_columns = (json_tensors.Document("", rows, None) for rows in (True, False))
    assert json.loads(by_rows.answer(outputs)) == {"predictions": [
        {"a_bytes": {"b64": "AAE="}, "b": [1, 2]}, {"a_bytes": {"b64": ""}, "b": [3, 4]}]}
    assert json.loads(by_columns.answer(outputs)) == {"outputs": {
        "a_bytes": [{"b64": "AAE="}, {"b64": ""}], "b": [[1, 2], [3, 4]]}}
    one = {"text": np.array([b"hi", b"\xff"], object)}
    assert json.loads(by_rows.answer(one)) == {"predictions": ["hi", "�"]}
    with pytest.raises(Refusal, match="no rows"):
        by_rows.answer({"scalar": np.float32(1)})
