"""Graphs that were stored with a model: they give what the model gives, and load nothing that they don't need."""

from __future__ import annotations

import dataclasses
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tensorflow.core.framework import function_pb2

import config
import lic
from lic import export, graph_storing, resources, stored_graph, weights
from lic.errors import DataError, UsageError
from lic.file_graph import FileGraph
from lic.stored_graph import StoredGraph
from tests.scripts import ROOT, SCRIPTS, WITHOUT_TCM


@pytest.fixture(scope="module")
def many(saved_many):
    """(the codec of a model of many rates, the same of its model)."""
    return lic.load(str(saved_many)), lic.load(str(saved_many), stored=False)


def pixels_of(picture, *size: int, **kwargs) -> np.ndarray:
    return picture(*size, **kwargs)[0].astype(np.uint8)


@pytest.mark.parametrize("script", WITHOUT_TCM)
def test_stored_graphs_give_the_bytes_and_pixels_of_the_model(script, saved, traced, picture):
    stored, model = lic.load(str(saved[script])), traced[script]
    assert isinstance(stored.graph, StoredGraph) and isinstance(model.graph, FileGraph)
    assert stored.about == model.about
    wild = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)   # has symbols that no table holds
    for x, tile in ((pixels_of(picture, 50, 130), None), (pixels_of(picture, 200, 150), 128), (wild, None)):
        data = model.compress(x, tile=tile)
        assert stored.compress(x, tile=tile) == data
        np.testing.assert_array_equal(stored.decompress(data), model.decompress(data))


def test_stored_graphs_take_batches(saved, traced, picture):
    stored, model = lic.load(str(saved["zyc2022"])), traced["zyc2022"]
    batch = list(picture(70, 50, batch=3).astype(np.uint8))
    files = model.compress_batch(batch)
    assert stored.compress_batch(batch) == files
    np.testing.assert_array_equal(stored.decompress_batch(files), model.decompress_batch(files))


def test_stored_graphs_know_every_quality_and_its_estimate(many, picture):
    stored, traced = many
    x = pixels_of(picture, 64, 96)
    for quality in (1, 37.5, 100):
        data = traced.compress(x, quality=quality)
        assert stored.compress(x, quality=quality) == data
        np.testing.assert_array_equal(stored.decompress(data), traced.decompress(data))
        assert stored.probe(x, quality) == pytest.approx(traced.probe(x, quality), rel=1e-6)


def test_stored_slope_refines_as_the_one_that_is_traced(many, picture):
    stored, traced = many
    x = pixels_of(picture, 100, 150, seed=4)
    assert stored.compress(x, quality=40, effort=2) == traced.compress(x, quality=40, effort=2)


def changed(archive, **entries) -> None:
    """Writes a graphs.zip anew with other entries of its description."""
    with zipfile.ZipFile(archive) as old:
        kept = {name: old.read(name) for name in old.namelist()}
    about = {**json.loads(kept["about.json"]), **entries}
    with zipfile.ZipFile(archive, "w") as new:
        for name, data in {**kept, "about.json": json.dumps(about)}.items():
            new.writestr(name, data)


@pytest.mark.parametrize("spoil", [
    lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:9000]),
    lambda path: changed(path, weights_id="00000000"), lambda path: changed(path, format=stored_graph.FORMAT + 1)],
    ids=["missing", "cut off", "of another model", "of another format"])
def test_where_graphs_do_not_fit_the_model_is_built(spoil, saved, tmp_path):
    shutil.copytree(saved["zyc2022"], tmp_path / "model")
    spoil(tmp_path / "model" / stored_graph.FILE)
    assert isinstance(lic.load(str(tmp_path / "model")).graph, FileGraph)


@pytest.mark.parametrize("switches", [{"arithmetic": "float32"}, {"precision": "bfloat16"}, {"xla": True}])
def test_other_switches_build_the_model(switches, saved):
    assert isinstance(lic.load(str(saved["zyc2022"]), **switches).graph, FileGraph)


def test_codec_of_stored_graphs_is_not_exported(saved, tmp_path):
    with pytest.raises(UsageError, match="load the model with stored=False"):
        export.save(lic.load(str(saved["zyc2022"])), str(tmp_path / "exported"))


ENTRIES = ["encode.pb", "encode.weights.pb"]


def layers_of(archive) -> list[str]:
    """The entries of functions that others call."""
    with zipfile.ZipFile(archive) as stored:
        return [name for name in stored.namelist() if name.startswith("layer_")]


def function_of(archive, entry: str) -> function_pb2.FunctionDef:
    with zipfile.ZipFile(archive) as stored:
        return function_pb2.FunctionDef.FromString(stored.read(entry))


def with_changed_function(archive, entry: str, change) -> None:
    """Changes the nodes of a stored function."""
    definition = function_of(archive, entry)
    change(definition.node_def)
    with zipfile.ZipFile(archive) as old:
        kept = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(archive, "w") as new:
        for name, data in {**kept, entry: definition.SerializeToString()}.items():
            new.writestr(name, data)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("operation", ["WriteFile", "PyFunc", "NoSuchOperation"])
def test_graph_that_does_more_than_compute_is_refused_in_one_line(operation, entry, saved, picture, tmp_path):
    shutil.copytree(saved["zyc2022"], tmp_path / "model")

    def put(nodes) -> None:
        nodes[len(nodes) // 2].op = operation

    with_changed_function(tmp_path / "model" / stored_graph.FILE, entry, put)
    with pytest.raises(DataError, match=r"graphs\.zip of the model is broken or not ours: remove it"):
        lic.load(str(tmp_path / "model")).compress(pixels_of(picture, 40, 50))


@pytest.mark.parametrize("entry", ENTRIES)
def test_function_that_lacks_nodes_is_refused_in_one_line(entry, saved, picture, tmp_path):
    shutil.copytree(saved["zyc2022"], tmp_path / "model")
    with_changed_function(tmp_path / "model" / stored_graph.FILE, entry, lambda nodes: nodes.pop(len(nodes) // 2))
    with pytest.raises(DataError, match=r"graphs\.zip of the model is broken or not ours: remove it"):
        lic.load(str(tmp_path / "model")).compress(pixels_of(picture, 40, 50))


@pytest.fixture(scope="module")
def tcm() -> str:
    """The folder of the bundled TCM, whose slices have the same networks."""
    return resources.bundled("lsk2023")


def test_networks_of_slices_are_stored_once_and_called(tcm):
    archive = Path(tcm) / stored_graph.FILE
    called = [node.op for node in function_of(archive, "encode.pb").node_def if node.op.startswith("layer_")]
    assert len(set(called)) < len(called) and {f"{name}.pb" for name in called} <= set(layers_of(archive))


def call_itself(nodes, entry: str) -> None:
    nodes[0].op = entry[:-len(".pb")]


@pytest.mark.parametrize("change", [
    lambda nodes, _: setattr(nodes[0], "op", "WriteFile"), lambda nodes, _: setattr(nodes[0], "op", "layer_0"),
    call_itself], ids=["does more than compute", "calls what is not there", "calls itself"])
def test_called_function_that_is_none_of_ours_is_refused_in_one_line(change, tcm, picture, tmp_path):
    shutil.copytree(tcm, tmp_path / "model")
    archive = tmp_path / "model" / stored_graph.FILE
    for entry in layers_of(archive):
        with_changed_function(archive, entry, lambda nodes, entry=entry: change(nodes, entry))
    with pytest.raises(DataError, match=r"graphs\.zip of the model is broken or not ours: remove it"):
        lic.load(str(tmp_path / "model")).compress(pixels_of(picture, 40, 50))


def test_models_whose_functions_have_the_same_names_in_their_archives_call_their_own(tcm, picture, tmp_path):
    """Whoever names a function of another model in his own must not get into that."""
    x = pixels_of(picture, 40, 50)
    expected = lic.load(tcm).compress(x)
    shutil.copytree(tcm, tmp_path / "model")
    archive = tmp_path / "model" / stored_graph.FILE

    def round_up(nodes) -> None:
        for node in nodes:
            node.op = "Abs" if node.op == "Round" else node.op

    for entry in layers_of(archive):
        with_changed_function(archive, entry, round_up)
    assert lic.load(str(tmp_path / "model")).compress(x) != expected
    assert lic.load(tcm).compress(x) == expected


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("name", ["encode", "decode", "synthesise"])
def test_what_weights_alone_decide_is_not_computed_at_each_call(name, script):
    archive = Path(resources.bundled(script)) / stored_graph.FILE
    prepared = len(function_of(archive, f"{name}.weights.pb").signature.output_arg)
    main = function_of(archive, f"{name}.pb")
    known = {argument.name for argument in main.signature.input_arg[:prepared]}
    known |= {node.name for node in main.node_def if node.op == "Const"}
    assert prepared and not [
        node.name for node in main.node_def if node.input and node.op != "Enter"
        and known.issuperset(reference.split(":")[0] for reference in node.input)]


PYTORCH = config.PYTORCH
KINDS = {
    "conv": ("zyc2022", dict(transforms="conv", entropy="hyperprior", conv_width=8, conventions=PYTORCH)),
    "no norm": ("zyc2022", dict(resample_norm=False, conventions=PYTORCH)),
    "TCM of TensorFlow": ("lsk2023", dict(conventions=config.TENSORFLOW)),
    "ELIC of PyTorch": ("hypmqw2022", dict(conventions=PYTORCH, hyper_rdft=True, channel_context="first_and_last",
                                           hyper_last_transposed=True, hyper_relu=True)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_can_be_stored(kind, lively, tmp_path, picture):
    script, fields = KINDS[kind]
    preset = config.variable(dataclasses.replace(config.PRESETS[script]["tiny"], **fields))
    model = lively(script, preset)
    model.freeze()
    weights.save(model, script, str(tmp_path))
    graph_storing.save(str(tmp_path))
    stored, traced = lic.load(str(tmp_path)), lic.load(str(tmp_path), stored=False)
    x = pixels_of(picture, 60, 90)
    assert isinstance(stored.graph, StoredGraph) and stored.compress(x) == traced.compress(x)
    assert stored.compress(x, effort=2) == traced.compress(x, effort=2)
    np.testing.assert_array_equal(stored.bits_map(x), traced.bits_map(x))


LOADED = """
import sys
from lic import cli
assert cli.run(sys.argv[1], sys.argv[2:]) == 0
print([name for name in ("tensorflow_compression", "tensorflow_probability", sys.argv[1], "lic.model")
       if name in sys.modules])
import tensorflow_compression as tfc
assert tfc.run_length_encode is not None
import lic
print(type(lic.load(sys.argv[-1], stored=False).graph).__name__)
"""


@pytest.mark.parametrize(("script", "more"), [("zyc2022", ()), ("hypmqw2022", ("--effort", 2))])
def test_coding_with_stored_graphs_neither_builds_a_model_nor_loads_tfc_and_both_can_follow(
        script, more, saved, saved_many, picture, process, tmp_path):
    from PIL import Image
    Image.fromarray(pixels_of(picture, 40, 50)).save(tmp_path / "x.png")
    model = saved_many if more else saved[script]
    ran = process("-c", LOADED, script, "compress", tmp_path / "x.png", *more, "--model_path", model, cwd=ROOT)
    assert (ran.code, ran.out.split("\n")[:2]) == (0, ["[]", "FileGraph"]), ran.err


def test_every_weight_is_placed_into_the_graphs(saved_many):
    """No weight is left in a function as a constant: it would go stale."""
    with zipfile.ZipFile(f"{saved_many}/{stored_graph.FILE}") as archive:
        about = json.loads(archive.read("about.json"))
    held = {about["arrays"][number] for numbers in about["functions"].values() for number in numbers}
    model, _ = weights.load(str(saved_many))
    assert held == set(weights.frozen_variables(model))
