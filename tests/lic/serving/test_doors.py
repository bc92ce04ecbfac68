"""Both doors of a real server: the stock client's stubs, and TensorFlow Serving's REST over plain HTTP."""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import json
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from lic import bitstream

# gRPC ----------------------------------------------------------------------------------------------------------------

def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def _claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be of this size."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


def test_concurrent_requests_of_mixed_sizes_give_what_the_library_gives(server, codec, png):
    pictures = [png(*size, seed) for seed, size in enumerate([(16, 16), (1, 1), (130, 40), (64, 200), (300, 256)] * 3)]
    expected = [codec.compress(Image.open(io.BytesIO(data))) for data in pictures]
    with ThreadPoolExecutor(5) as threads:   # as many as are worked on and may wait
        files = list(threads.map(lambda data: server.compress(data)[0], pictures))
        restored = list(threads.map(lambda data: server.decompress(data)[0], files))
    assert files == expected
    for data, picture in zip(expected, restored):
        np.testing.assert_array_equal(_pixels(picture), codec.decompress(data))


def test_batch_and_names_of_the_answer(server, codec, png):
    pictures = [png(20, 30), png(40, 10)]
    answer = server.predict("compress", image_bytes=pictures)
    assert (answer.model_spec.name, answer.model_spec.version.value, answer.model_spec.signature_name) == (
        "tiny", 1, "compress")
    assert list(answer.outputs) == ["file_bytes"]
    expected = [codec.compress(Image.open(io.BytesIO(data))) for data in pictures]
    assert list(tf.make_ndarray(answer.outputs["file_bytes"])) == expected


def test_output_filter_names_outputs(server, png):
    request = server.request("compress", image_bytes=[png(16, 16)])
    request.output_filter.append("file_bytes")
    assert list(server.prediction.Predict(request).outputs) == ["file_bytes"]
    request.output_filter[:] = ["colour"]
    with pytest.raises(grpc.RpcError) as error:
        server.prediction.Predict(request)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details() == "the signature has no output colour: it has file_bytes"


def test_version_of_the_request_is_the_one_that_answers_or_none(server, png):
    request = server.request("compress", image_bytes=[png(16, 16)])
    request.model_spec.version.value = 1
    assert server.prediction.Predict(request).model_spec.version.value == 1
    request.model_spec.version.value = 2
    with pytest.raises(grpc.RpcError) as error:
        server.prediction.Predict(request)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def _of_another_model(file: bytes) -> bytes:
    header, records = bitstream.parse(file)
    start = bitstream.prefix(header.arithmetic, header.model_code, 0, b"\1\2\3\4")
    return bitstream.build(start, header.width, header.height, records)


def test_bad_bytes_are_one_line_and_the_server_goes_on(server, codec, png):
    good = png(40, 50)
    file = codec.compress(_pixels(good))
    flipped = bytearray(file)
    flipped[len(file) // 2] ^= 1
    for signature, inputs, says in (
            ("compress", {"image_bytes": [b"hello"]}, "image_bytes, number 1: this is no picture that is read here"),
            ("compress", {"image_bytes": [b""]}, "image_bytes, number 1: this is no picture"),
            ("compress", {"image_bytes": [good, b"x"]}, "image_bytes, number 2: this is no picture"),
            ("compress", {"image_bytes": [good[:len(good) // 2]]}, "Invalid PNG data"),
            ("decompress", {"file_bytes": [b"hello"]}, "file_bytes, number 1: this is not a file of this codec"),
            ("decompress", {"file_bytes": [file[:-3]]}, "file_bytes, number 1: the file is truncated"),
            ("decompress", {"file_bytes": [bytes(flipped)]}, "file_bytes, number 1: "),
            ("decompress", {"file_bytes": [_of_another_model(file)]}, "made by another model")):
        code, line = server.refused(signature, **inputs)
        assert code == "INVALID_ARGUMENT" and says in line and "\n" not in line and "node" not in line, line
    assert server.compress(good) == [file]


def test_wrong_inputs_are_told_what_the_signature_takes(server):
    for signature, inputs, code, says in (
            ("compress", {"image_bytes": [1.]}, "INVALID_ARGUMENT", "is float32[1], and the signature takes string[?]"),
            ("compress", {"image_bytes": b"x"}, "INVALID_ARGUMENT", "is string[], and the signature takes string[?]"),
            ("compress", {"pixels": [b"x"]}, "INVALID_ARGUMENT", "the inputs are pixels, and the signature takes "),
            ("compress", {}, "INVALID_ARGUMENT", "the inputs are none, and the signature takes image_bytes"),
            ("compress", {"model": "other"}, "NOT_FOUND", "Servable not found for request: Latest(other)"),
            ("", {}, "FAILED_PRECONDITION", '"serving_default" not found: name one of compress, decompress')):
        got, line = server.refused(signature, **inputs)
        assert got == code and says in line, line


def test_malformed_tensors_are_refused(server):
    wide = server.request("compress", image_bytes=[b"x"])
    wide.inputs["image_bytes"].tensor_shape.dim[0].size = 1 << 40
    short = predict_pb2.PredictRequest()
    short.CopyFrom(wide)
    short.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(np.zeros(5, np.float32)))
    short.inputs["image_bytes"].tensor_content = b"abc"
    for request, says in ((wide, "claims 1099511627776 elements"), (short, "is malformed")):
        with pytest.raises(grpc.RpcError) as error:
            server.prediction.Predict(request)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT and says in error.value.details()


def test_oversized_requests_are_refused_before_they_are_decoded(server, png):
    code, line = server.refused("compress", image_bytes=[bytes(2_100_000)])
    assert code == "RESOURCE_EXHAUSTED" and "larger than max" in line
    before = server.metric("process_resident_memory_bytes")
    for picture in (_claiming(20_000, 10_000), _claiming(1 << 30, 1 << 30)):
        code, line = server.refused("compress", image_bytes=[picture])
        assert code == "INVALID_ARGUMENT" and "3000000 are allowed" in line, line
    code, line = server.refused("compress", image_bytes=[_claiming(1000, 1600)] * 2)
    assert code == "INVALID_ARGUMENT" and "the request has 3200000 pixels" in line
    assert server.metric("process_resident_memory_bytes") - before < 200 << 20


@pytest.fixture(scope="module")
def sleeper(toy, serving):
    """A server whose requests take as long as they say: two workers, a queue of three."""
    with serving(f"tiny={toy}", "--workers", 2, "--queue", 3) as running:
        yield running


def _naps(sleeper, count: int, seconds: float) -> list:
    return [sleeper.prediction.Predict.future(sleeper.request("nap", seconds=seconds)) for _ in range(count)]


def test_cancelled_request_leaves_the_queue_and_a_full_queue_refuses_at_once(sleeper, until):
    done, under_way = sleeper.metric("lic_work_seconds_count"), _naps(sleeper, 2, 5.0)
    until(lambda: sleeper.metric("lic_running") == 2)
    waiting = _naps(sleeper, 3, 0.0)
    until(lambda: sleeper.metric("lic_waiting") == 3)
    code, line = sleeper.refused("nap", seconds=0.0)
    assert code == "RESOURCE_EXHAUSTED" and "the queue is full" in line
    status, answer = sleeper.http("/v1/models/tiny:predict", {"instances": []})
    assert status == 429 and "the queue is full" in answer["error"]
    waiting.pop().cancel()
    until(lambda: sleeper.metric("lic_waiting") == 2)
    assert sleeper.refused("nap", seconds=0.0, timeout=0.2)[0] == "DEADLINE_EXCEEDED"
    until(lambda: sleeper.metric("lic_waiting") == 2)
    assert not any(each.done() for each in under_way), "all that was at once"
    assert all(each.result() for each in under_way + waiting)
    assert sleeper.metric("lic_work_seconds_count") == done + 4, "what was given up was never begun"


def test_cancelled_request_that_is_under_way_keeps_its_worker(sleeper, until):
    (under_way,) = _naps(sleeper, 1, 3.0)
    until(lambda: sleeper.metric("lic_running") == 1)
    requests = sleeper.metric("lic_requests_total")
    under_way.cancel()
    until(lambda: sleeper.metric("lic_requests_total") > requests)
    assert sleeper.metric("lic_running") == 1
    until(lambda: sleeper.metric("lic_running") == 0)


def test_metadata_holds_the_signatures(server):
    request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec={"name": "tiny"})
    with pytest.raises(grpc.RpcError, match="metadata_field has to be 'signature_def'"):
        server.prediction.GetModelMetadata(request)
    request.metadata_field.append("signature_def")
    response = server.prediction.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures) and response.model_spec.version.value == 1
    assert signatures.signature_def["compress"].inputs["image_bytes"].dtype == tf.string.as_datatype_enum
    assert "decompress" in signatures.signature_def


def test_status_says_that_the_version_is_available(server):
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "tiny"})
    (version,) = server.models.GetModelStatus(request).model_version_status
    assert (version.version, version.State.Name(version.state), version.status.error_code) == (1, "AVAILABLE", 0)
    for name, number in (("other", None), ("tiny", 7)):
        request.model_spec.name = name
        if number:
            request.model_spec.version.value = number
        with pytest.raises(grpc.RpcError) as error:
            server.models.GetModelStatus(request)
        assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_is_told_by_its_own_protocol(server):
    stub = health_pb2_grpc.HealthStub(server.channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == 1


def test_what_is_not_served_is_unimplemented(server):
    for method, request in ((server.prediction.Classify, classification_pb2.ClassificationRequest()),
                            (server.prediction.Regress, regression_pb2.RegressionRequest()),
                            (server.prediction.MultiInference, inference_pb2.MultiInferenceRequest()),
                            (server.models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest())):
        with pytest.raises(grpc.RpcError) as error:
            method(request)
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


# REST ----------------------------------------------------------------------------------------------------------------

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


def test_oversized_bodies_are_refused_and_counted_whether_they_say_their_length_or_not(server):
    before = server.metric("lic_requests_total")
    assert server.http("/v1/models/tiny:predict", bytes(2_100_000))[0] == 413
    connection = http.client.HTTPConnection(server.rest.removeprefix("http://"), timeout=60)
    connection.request("POST", "/v1/models/tiny:predict", iter([bytes(1_000_000)] * 3), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    response = connection.getresponse()
    assert response.status == 413 and "exceeded" in json.load(response)["error"]
    assert server.metric("lic_requests_total") == before + 2


def test_compressed_bodies_are_refused_unread(server):
    bomb = gzip.compress(bytes(50_000_000))
    status, answer = server.http("/v1/models/tiny:predict", bomb, **{"Content-Encoding": "gzip"})
    assert (status, answer) == (415, {"error": "send the body without compression"})


def test_client_that_goes_away_leaves_the_queue(sleeper, until):
    under_way = _naps(sleeper, 2, 5.0)
    until(lambda: sleeper.metric("lic_running") == 2)
    connection = http.client.HTTPConnection(sleeper.rest.removeprefix("http://"), timeout=60)
    connection.request("POST", "/v1/models/tiny:predict", json.dumps({"signature_name": "nap", "inputs": 0.0}))
    until(lambda: sleeper.metric("lic_waiting") == 1)
    connection.close()
    until(lambda: sleeper.metric("lic_waiting") == 0)
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


def test_server_listens_on_this_machine_only_unless_it_is_told_otherwise(server):
    """127.0.0.2 is this machine as well, but not the address that it listens on."""
    for address in (server.address, server.rest):
        port = int(address.rsplit(":", 1)[1])
        socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port))
