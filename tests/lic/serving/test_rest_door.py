"""TensorFlow Serving's REST against a real server."""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import json

import numpy as np
from PIL import Image


def test_rows_and_columns_give_what_the_library_gives(server, codec, png, b64):
    pictures = [png(20, 30), png(33, 17)]
    expected = [codec.compress(Image.open(io.BytesIO(data))) for data in pictures]
    values = list(map(b64, pictures))
    for path, inputs, key in (
            ("/v1/models/tiny:predict", {"instances": values}, "predictions"),
            ("/v1/models/tiny/versions/1:predict", {"instances": [{"image_bytes": v} for v in values]}, "predictions"),
            ("/v1/models/tiny:predict", {"inputs": values}, "outputs"),
            ("/v1/models/tiny:predict", {"inputs": {"image_bytes": values}}, "outputs")):
        status, answer = server.http(path, {"signature_name": "compress", **inputs})
        assert status == 200, answer
        assert [base64.b64decode(each["b64"]) for each in answer[key]] == expected
    status, answer = server.http("/v1/models/tiny:predict",
                                 {"signature_name": "decompress", "instances": list(map(b64, expected))})
    for data, picture in zip(expected, answer["predictions"]):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["b64"])))),
                                      codec.decompress(data))


def test_bad_requests_are_an_error_of_one_line(server, b64):
    good = {"signature_name": "compress", "instances": [b64(b"hello")]}
    for path, body, code, says in (
            ("/v1/models/tiny:predict", good, 400, "image_bytes, number 1: this is no picture"),
            ("/v1/models/tiny:predict", {**good, "instances": [{"b64": "???"}]}, 400, "no base64"),
            ("/v1/models/tiny:predict", {**good, "instances": [7]}, 400, "neither a string nor"),
            ("/v1/models/tiny:predict", {**good, "inputs": []}, 400, "either 'instances' or 'inputs'"),
            ("/v1/models/tiny:predict", {"instances": [1]}, 400, "serving_default"),
            ("/v1/models/tiny:predict", b"{", 400, "JSON parse error"),
            ("/v1/models/tiny:predict", b"[" * 100_000, 400, "JSON parse error"),
            ("/v1/models/tiny:predict", b"\xff\xfe{}", 400, ""),
            ("/v1/models/other:predict", good, 404, "Latest(other)"),
            ("/v1/models/tiny/versions/9:predict", good, 404, "Specific(tiny, 9)"),
            ("/v1/models/tiny:classify", good, 501, "answers predict, not classify"),
            ("/v1/models/tiny/labels/stable:predict", good, 400, "Malformed request: POST"),
            ("/v1/models/tiny:predict", None, 405, "Method Not Allowed"),
            ("/v2/models", None, 400, "Malformed request: GET /v2/models")):
        status, answer = server.http(path, body)
        assert status == code and list(answer) == ["error"] and says in answer["error"], (path, status, answer)
        assert "\n" not in answer["error"]


def test_oversized_bodies_are_refused_whether_they_say_their_length_or_not(server):
    assert server.http("/v1/models/tiny:predict", bytes(2_100_000))[0] == 413
    connection = http.client.HTTPConnection(server.rest.removeprefix("http://"), timeout=60)
    connection.request("POST", "/v1/models/tiny:predict", iter([bytes(1_000_000)] * 3), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    response = connection.getresponse()
    assert response.status == 413 and "exceeded" in json.load(response)["error"]


def test_compressed_bodies_are_refused_unread(server):
    bomb = gzip.compress(bytes(50_000_000))
    status, answer = server.http("/v1/models/tiny:predict", bomb, **{"Content-Encoding": "gzip"})
    assert (status, answer) == (415, {"error": "send the body without compression"})


def test_client_that_goes_away_leaves_the_queue(server, flat, b64, until):
    big = server.request("compress", image_bytes=[flat(1000, 1500)])
    under_way = [server.prediction.Predict.future(big) for _ in range(2)]
    until(lambda: server.metric("lic_running") == 2)
    connection = http.client.HTTPConnection(server.rest.removeprefix("http://"), timeout=60)
    connection.request("POST", "/v1/models/tiny:predict", json.dumps({"instances": [b64(flat(16, 16))]}))
    until(lambda: server.metric("lic_waiting") == 1)
    connection.close()
    until(lambda: server.metric("lic_waiting") == 0)
    assert not any(each.done() for each in under_way) and all(each.result() for each in under_way)


def test_status_and_metadata_have_the_form_of_the_stock_server(server):
    expected = {"model_version_status": [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]}
    for path in ("/v1/models/tiny", "/v1/models/tiny/versions/1"):
        assert server.http(path) == (200, expected)
    status, answer = server.http("/v1/models/tiny/metadata")
    assert status == 200 and answer["model_spec"] == {"name": "tiny", "signature_name": "", "version": "1"}
    compress = answer["metadata"]["signature_def"]["signature_def"]["compress"]
    assert compress["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    assert compress["inputs"]["image_bytes"]["tensor_shape"]["dim"][0]["size"] == "-1"
    assert compress["method_name"] == "tensorflow/serving/predict"
    assert server.http("/v1/models/other")[0] == server.http("/v1/models/tiny/versions/3")[0] == 404


def test_health_and_metrics_are_told(server, png):
    assert server.http("/healthz") == (200, {"status": "SERVING"})
    before = server.metric("lic_requests_total")
    server.compress(png(16, 16))
    assert server.metric("lic_requests_total") > before
    page = server.http("/monitoring/prometheus/metrics")[1]
    for line in ('lic_version{model="tiny"} 1.0', "lic_waiting 0.0", 'lic_work_seconds_count{model="tiny",'):
        assert line in page, page
