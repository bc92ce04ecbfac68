"""SavedModels: bytes in, bytes out, in a process that knows nothing of this project."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

import lic
from lic import bitstream, export, graph_images, images, op_errors, stored_graph
from lic.errors import DataError, UsageError
from lic.stored_graph import StoredGraph
from tests.scripts import ELIC_ALONE


@pytest.fixture(scope="module")
def pictures(picture) -> list[bytes]:
    """A PNG and a JPEG of different sizes."""
    files = []
    for (height, width), kind in (((50, 90), "PNG"), ((75, 33), "JPEG")):
        stored = io.BytesIO()
        Image.fromarray(picture(height, width)[0].astype(np.uint8)).save(stored, kind)
        files.append(stored.getvalue())
    return files


@pytest.fixture(scope="module")
def signatures(exported):
    """Of the fastest of the three."""
    return tf.saved_model.load(exported["hypmqw2022"]).signatures


# Runs in an empty folder, without the project: what a server does that was given only the SavedModel.
STRANGER = """
import json, sys
import tensorflow as tf
import tensorflow_compression
files = [open(name, 'rb').read() for name in ('picture.png', 'picture.jpg')]
signatures = tf.saved_model.load(sys.argv[1]).signatures
made = signatures['compress'](image_bytes=tf.constant(files))
back = signatures['decompress'](file_bytes=made['file_bytes'])
for kind, outputs in (('tfci', made), ('png', back)):
    (name, values), = outputs.items()
    for i, value in enumerate(values.numpy()):
        open(f"{name}.{i}.{kind}", 'wb').write(value)
print(json.dumps(sorted({m.split('.')[0] for m in sys.modules} & {'lic', 'lsk2023', 'config', 'arch_ops', 'zyc2022'})))
"""


@pytest.mark.parametrize("script", ELIC_ALONE)
def test_stranger_gets_the_bytes_of_the_python_api(script, exported, codecs, pictures, process, tmp_path):
    """Both pictures as one batch."""
    for name, contents in zip(("picture.png", "picture.jpg"), pictures):
        (tmp_path / name).write_bytes(contents)
    ran = process("-c", STRANGER, exported[script], cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out) == [], "the project was imported"
    for i, contents in enumerate(pictures):
        data = (tmp_path / f"file_bytes.{i}.tfci").read_bytes()
        restored = (tmp_path / f"image_bytes.{i}.png").read_bytes()
        assert data == codecs[script].compress(Image.open(io.BytesIO(contents)))
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(restored))), codecs[script].decompress(data))


@pytest.mark.parametrize(("key", "given", "made"), [
    ("compress", "image_bytes", "file_bytes"), ("decompress", "file_bytes", "image_bytes")])
def test_saved_model_cli_shows_the_signature(key, given, made, exported, process):
    """TensorFlow's own tool, without tensorflow_compression."""
    ran = process("-m", "tensorflow.python.tools.saved_model_cli", "show", "--dir", exported["hypmqw2022"],
                  "--tag_set", "serve", "--signature_def", key)
    assert ran.code == 0, ran.err
    assert f"inputs['{given}'] tensor_info" in ran.out and f"outputs['{made}'] tensor_info" in ran.out
    assert ran.out.count("dtype: DT_STRING") == 2 and ran.out.count("shape: (-1)") == 2


def test_command_line_takes_a_saved_model_where_nothing_else_was_loaded(exported, script, picture, tmp_path):
    Image.fromarray(picture(50, 90)[0].astype(np.uint8)).save(tmp_path / "a.png")
    ran = script("hypmqw2022", "compress", "a.png", "--model_path", exported["hypmqw2022"], cwd=tmp_path)
    assert ran.code == 0 and not ran.err and (tmp_path / "a.png.tfci").stat().st_size > 50


@pytest.mark.parametrize("script", ELIC_ALONE)
@pytest.mark.parametrize("stored", [True, False])
def test_saved_model_is_a_codec_like_any_other(stored, script, exported, codecs, picture):
    coder, x = lic.load(exported[script], stored=stored), picture(45, 81)[0].astype(np.uint8)
    assert isinstance(coder.graph, StoredGraph) is stored
    data = coder.compress(x)
    assert data == codecs[script].compress(x) and coder.about == codecs[script].about
    np.testing.assert_array_equal(coder.decompress(data), codecs[script].decompress(data))
    assert (coder.bits_map(x) is not None) is stored, "a SavedModel's own graph has none"
    with pytest.raises(DataError, match="checksum"):
        coder.decompress(data[:-1] + bytes([data[-1] ^ 1]))


def test_saved_model_without_stored_graphs_of_its_own_is_read_itself(exported, saved, codecs, tmp_path, picture):
    folder = shutil.copytree(exported["hypmqw2022"], tmp_path / "model")
    stored, x = folder / "assets.extra" / stored_graph.FILE, picture(45, 81)[0].astype(np.uint8)
    shutil.copy(saved["zyc2022"] / stored_graph.FILE, stored)
    for spoil in (lambda: None, stored.unlink):
        spoil()
        coder = lic.load(str(folder))
        assert not isinstance(coder.graph, StoredGraph) and coder.compress(x) == codecs["hypmqw2022"].compress(x)


@pytest.mark.parametrize("about", [
    "[]", "null", "{}", "7", "{", '{"arithmetic": [], "precision": "float32", "tf32": false, "num_strings": 2}',
    '{"arithmetic": "portable", "precision": "float32", "tf32": false, "num_strings": null}'])
def test_saved_model_whose_description_is_none_is_one_line(about, tmp_path):
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "model.json").write_text(about)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(DataError, match="is no SavedModel that 'export' made, as it does now, or it is broken"):
        lic.load(str(tmp_path))


@pytest.mark.parametrize("name", ["variables.data-00000-of-00001", "variables.index"])
def test_saved_model_with_broken_weights_is_one_line(name, exported, tmp_path, picture):
    folder = shutil.copytree(exported["hypmqw2022"], tmp_path / "model")
    broken = folder / "variables" / name
    content = bytearray(broken.read_bytes())
    content[:len(content) // 2] = bytes(len(content) // 2)
    broken.write_bytes(content)
    with pytest.raises(DataError) as error:
        lic.load(str(folder)).compress(picture(45, 81)[0].astype(np.uint8))
    assert "broken" in str(error.value) and "\n" not in str(error.value)


def test_saved_model_says_which_symbols_are_wrong_by_both_of_its_doors(exported, signatures, codecs, picture):
    header, (record,) = bitstream.parse(codecs["hypmqw2022"].compress(picture(45, 81)[0].astype(np.uint8)))
    wrong = dataclasses.replace(record, checks=((record.checks[0] + 1) % 251, *record.checks[1:]))
    data, said = bitstream.build(header.prefix, 81, 45, [wrong]), "the symbols of z (string 0) are not those"
    with pytest.raises(DataError) as error:
        lic.load(exported["hypmqw2022"]).decompress(data)
    assert str(error.value).startswith(said)
    with pytest.raises(tf.errors.InvalidArgumentError) as refusal:
        signatures["decompress"](file_bytes=tf.constant([data]))
    assert op_errors.first_line(refusal.value).startswith(said)


@pytest.mark.parametrize("script", ELIC_ALONE)
def test_saved_model_holds_nothing_of_keras_and_nothing_of_python(script, exported):
    names = [name for _, _, names in os.walk(exported[script]) for name in names]
    assert "keras_metadata.pb" not in names and "saved_model.pb" in names
    with open(os.path.join(exported[script], "saved_model.pb"), "rb") as file:
        graph = file.read()
    assert b"_tf_keras" not in graph and b"PyFunc" not in graph and b"EagerPyFunc" not in graph


# What a server has to link besides TensorFlow; res/serving/BUILD.tfc does.
RANGE_CODER = {f"Create{way}" for way in ("RangeEncoder", "RangeDecoder")} | {
    f"Entropy{way}{what}" for way in ("Encode", "Decode") for what in ("Channel", "Index", "Finalize")}


@pytest.mark.parametrize("script", ELIC_ALONE)
def test_saved_model_needs_the_range_coder_and_nothing_else_that_is_not_tensorflow(script, exported):
    with open(os.path.join(exported[script], "saved_model.pb"), "rb") as file:
        (graph,) = (meta.graph_def for meta in saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs)
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    functions = {function.signature.name for function in graph.library.function}
    assert {node.op for node in nodes if not hasattr(tf.raw_ops, node.op)} - functions == RANGE_CODER


def test_weights_are_stored_once(exported, saved):
    weights = (saved["hypmqw2022"] / "weights.npz").stat().st_size
    variables = os.path.join(exported["hypmqw2022"], "variables", "variables.data-00000-of-00001")
    assert os.path.getsize(variables) < 2 * weights


def test_pictures_of_every_kind_that_the_graph_reads(signatures, codecs, picture):
    x = picture(20, 30)[0].astype(np.uint8)
    made, expected = [], []
    for image, kind in ((Image.fromarray(x), "BMP"), (Image.fromarray(x[..., 0]), "PNG"),
                        (Image.fromarray(x).quantize(8), "PNG"), (Image.fromarray(x).quantize(8), "GIF")):
        stored = io.BytesIO()
        image.save(stored, kind)
        made.append(stored.getvalue())
        expected.append(codecs["hypmqw2022"].compress(image))
    assert list(signatures["compress"](image_bytes=tf.constant(made))["file_bytes"].numpy()) == expected


def test_empty_batch_gives_an_empty_batch(signatures):
    assert signatures["compress"](image_bytes=tf.constant([], tf.string))["file_bytes"].shape == (0,)


def test_bytes_that_are_no_picture_or_no_file_are_refused(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures["compress"](image_bytes=tf.constant([b"hello"]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a file of this codec"):
        signatures["decompress"](file_bytes=tf.constant([b"hello, this is no file"]))


@pytest.mark.slow
def test_switches_of_the_export_are_asked_for_again(saved, tmp_path, picture):
    folder = str(tmp_path / "float32")
    export.save(lic.load(str(saved["hypmqw2022"]), arithmetic="float32", precision="bfloat16"), folder)
    with pytest.raises(UsageError, match="exported with --arithmetic float32 --precision bfloat16: give the same"):
        lic.load(folder)
    coder = lic.load(folder, arithmetic="float32", precision="bfloat16")
    x = picture(40, 40)[0].astype(np.uint8)
    assert isinstance(coder.graph, StoredGraph) and coder.decompress(coder.compress(x)).shape == x.shape


@pytest.mark.slow
def test_what_xla_compiles_is_exported_without_stored_graphs(saved, tmp_path, picture):
    compiled, folder = lic.load(str(saved["hypmqw2022"]), xla=True), str(tmp_path / "compiled")
    export.save(compiled, folder)
    x = picture(40, 40)[0].astype(np.uint8)
    assert lic.load(folder).compress(x) == compiled.compress(x)
    assert os.listdir(os.path.join(folder, "assets.extra")) == ["model.json"]


# Folders ----------------------------------------------------------------------------------------------------------

def test_folder_with_something_in_it_is_refused_and_left_alone(traced, tmp_path):
    (tmp_path / "mine").write_text("precious")
    for target in (tmp_path, tmp_path / "mine"):
        with pytest.raises(UsageError, match="exists and is not empty"):
            export.save(traced["hypmqw2022"], str(target))
    assert [p.name for p in tmp_path.iterdir()] == ["mine"] and (tmp_path / "mine").read_text() == "precious"


def test_saved_model_is_not_exported_again(exported, tmp_path):
    with pytest.raises(UsageError, match="copy the SavedModel's folder"):
        export.save(lic.load(exported["hypmqw2022"]), str(tmp_path / "again"))


def test_what_was_exported_without_xla_is_not_compiled_later(exported):
    with pytest.raises(UsageError, match="exported without --xla: give none, or export it with --xla"):
        lic.load(exported["hypmqw2022"], xla=True)


def test_unwritable_place_is_one_line(traced, tmp_path):
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "model", "/proc/model"):
        with pytest.raises(DataError, match="can't be written") as error:
            export.save(traced["hypmqw2022"], str(target))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=type)
def test_interrupted_export_leaves_no_half_folder(failure, traced, tmp_path, monkeypatch):
    def breaks(*_):
        assert os.listdir(tmp_path), "something had been written by then"
        raise failure

    monkeypatch.setattr(export.files, "write_atomically", breaks)
    with pytest.raises((KeyboardInterrupt, DataError)):
        export.save(traced["hypmqw2022"], str(tmp_path / "model"))
    assert os.listdir(tmp_path) == []


def test_jpeg_is_decoded_in_the_graph_as_pillow_decodes_it(picture):
    """With and without subsampled colour; another decoder would give other files for the same picture."""
    for subsampling in (0, 2):
        stored = io.BytesIO()
        Image.fromarray(picture(61, 83, seed=2)[0].astype(np.uint8)).save(stored, "JPEG", subsampling=subsampling)
        stored.seek(0)
        np.testing.assert_array_equal(
            graph_images.decode(tf.constant(stored.getvalue())), images.from_pil(Image.open(stored)).pixels)
