"""Large pictures in tiles: independent strings, no seam, bounded memory, parts decoded by themselves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import config
import lic
from lic import arithmetic, bitstream, codec, coders, file_graph, integers, loading, memory
from lic.bitstream import Record
from lic.errors import DataError, UsageError
from tests.scripts import ROOT, WITHOUT_TCM


@pytest.fixture(scope="module")
def x(picture) -> np.ndarray:
    """uint8 (300, 450, 3): at tiles of 128 three rows of four, the last ones smaller."""
    return picture(300, 450)[0].astype(np.uint8)


@pytest.fixture(scope="module", params=WITHOUT_TCM)
def tiled(request, traced, x):
    """(codec, the picture's file in tiles of at most 256, what it decodes to)."""
    coder = traced[request.param]
    data = coder.compress_pixels(x, tile=256)
    return coder, data, coder.decompress(data)


def tile_of_file(data: bytes) -> tuple[int, int] | None:
    return bitstream.parse(data)[0].tile


def psnr(a, b) -> float:
    return 10 * np.log10(255 ** 2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9))


def test_file_tells_its_tiles_and_holds_a_record_for_each(tiled):
    _, data, restored = tiled
    header, records = bitstream.parse(data)
    assert header.tile == (256, 256) and len(records) == 4 and restored.shape == (300, 450, 3)


def test_tiles_cost_hardly_any_bytes_and_no_quality(tiled, x):
    coder, data, restored = tiled
    whole = coder.compress_pixels(x, tile=0)
    extra = 3 * 4 * coder.about["num_strings"] + 40   # of three more records
    assert abs(len(data) - len(whole)) <= 0.02 * len(whole) + extra
    assert abs(psnr(x, restored) - psnr(x, coder.decompress(whole))) < 0.1


def test_error_at_a_seam_is_that_of_the_interior(tiled, x):
    """Against the same columns of the picture in one piece, so that the picture's own detail does not count."""
    coder, _, restored = tiled
    whole = coder.decompress(coder.compress_pixels(x, tile=0))
    seam = slice(256 - 8, 256 + 8)
    for at in ((slice(None), seam), (seam, slice(None))):
        ours, theirs = (np.mean((r[at].astype(float) - x[at]) ** 2) for r in (restored, whole))
        assert ours < 1.1 * theirs


@pytest.mark.parametrize("crop", [
    (0, 0, 450, 300), (0, 0, 1, 1), (449, 299, 1, 1), (240, 250, 40, 20), (300, 10, 7, 280)], ids=str)
def test_crop_is_that_part_of_the_picture(tiled, crop):
    coder, data, restored = tiled
    left, top, width, height = crop
    expected = restored[top:top + height, left:left + width].astype(int)
    found = coder.decompress(data, crop=crop)
    assert found.shape == (height, width, 3)
    assert np.abs(found - expected).max() <= 1 and np.mean(found != expected) < 0.01   # other windows, float32


def test_crop_of_a_picture_in_one_piece_is_that_part_too(tiled, x):
    coder, *_ = tiled
    data = coder.compress_pixels(x, tile=0)
    found, whole = coder.decompress(data, crop=(130, 200, 60, 50)), coder.decompress(data)
    assert np.abs(found - whole[200:250, 130:190].astype(int)).max() <= 1


class Counting:
    """A graph that counts which of its functions are called."""

    def __init__(self, graph):
        self.graph, self.calls = graph, []

    def __getattr__(self, name):
        def called(*arguments):
            self.calls.append(name)
            return getattr(self.graph, name)(*arguments)
        return called


@pytest.mark.parametrize(("crop", "tiles"), [((20, 20, 60, 60), 1), ((150, 150, 60, 60), 4), (None, 4)], ids=str)
def test_crop_touches_only_the_tiles_that_it_needs(tiled, crop, tiles):
    coder, data, _ = tiled
    counting = Counting(coder.graph)
    codec.Codec(counting, coder.about).decompress(data, crop=crop)
    assert counting.calls.count("decode") == tiles
    assert counting.calls.count("synthesise") == (4 if crop is None else 1)


@pytest.mark.parametrize("crop", [(-1, 0, 5, 5), (0, 0, 451, 1), (0, 0, 1, 301), (450, 0, 1, 1), (0, 0, 0, 5)], ids=str)
def test_crop_outside_of_the_picture_is_misuse(tiled, crop):
    coder, data, _ = tiled
    with pytest.raises(UsageError, match="not inside the picture of 450 x 300"):
        coder.decompress(data, crop=crop)


def test_strings_of_a_tile_hang_on_no_other_tile(traced, x):
    coder, other = traced["hypmqw2022"], x.copy()
    other[:, 400:] = 255 - other[:, 400:]   # beyond the margin of the first column of tiles
    one, two = (bitstream.parse(coder.compress_pixels(p, tile=128))[1] for p in (x, other))
    same = [a.strings == b.strings for a, b in zip(one, two)]
    assert same == [True, True, False, False] * 3


def test_damage_in_a_tile_is_told_with_its_number_and_spares_the_others(traced, x):
    coder = traced["hypmqw2022"]
    data = coder.compress_pixels(x, tile=256)
    header, records = bitstream.parse(data)
    checks = list(records[2].checks)
    checks[3] = (checks[3] + 1) % 251
    broken = [*records[:2], dataclasses.replace(records[2], checks=tuple(checks)), records[3]]
    data = bitstream.build(header.prefix, header.width, header.height, broken, header.tile)
    with pytest.raises(DataError, match=r"^tile 3 of 4: the symbols of anchors of slice 1 \(string 3\) are not those"):
        coder.decompress(data)
    assert coder.decompress(data, crop=(0, 0, 50, 50)).shape == (50, 50, 3)


@pytest.mark.parametrize("forgery", ["swapped", "size", "other-file", "last-of-other-file"])
def test_tile_that_is_not_where_it_was_put_is_refused(forgery, traced, x):
    """Under checksums that fit: whoever forges a file can make those."""
    coder = traced["zyc2022"]
    header, records = bitstream.parse(coder.compress_pixels(x, tile=256))
    _, others = bitstream.parse(coder.compress_pixels(x[::-1].copy(), tile=256))
    width, mixed = {"swapped": (450, [records[1], records[0], *records[2:]]), "size": (449, records),
                    "other-file": (450, [others[0], *records[1:]]),
                    "last-of-other-file": (450, [*records[:3], others[3]])}[forgery]
    forged = bitstream.build(header.prefix, width, 300, mixed, header.tile)
    with pytest.raises(DataError, match=r"^tile \d of 4: (not what was encoded here|the symbols of)"):
        coder.decompress(forged)
    with pytest.raises(tf.errors.InvalidArgumentError):
        coder.graph.decompress_pixels(forged)


def test_graph_of_an_exported_model_makes_and_reads_the_same_tiles(tiled, x):
    coder, data, restored = tiled
    made = coder.graph.decompress_pixels(data).numpy()
    assert np.abs(made - restored.astype(int)).max() <= 1   # float32 synthesis, optimised otherwise inside a loop


@pytest.mark.slow
def test_graph_cuts_pictures_beyond_its_side_as_python_does(saved, picture):
    from lic import weights
    model, identity = weights.load(str(saved["hypmqw2022"]))
    coder = loading.from_model(model, "hypmqw2022", identity, config.Runtime())
    small = file_graph.FileGraph(model, coder.start, 128)
    for height, tile in ((400, 128), (256, 0)):   # 384 x 384 pixels are as large as a tile with its margins
        x = picture(height, 450)[0].astype(np.uint8)
        assert small.compress_pixels(x, 0.0).numpy() == coder.compress_pixels(x, tile=tile)


# Batches --------------------------------------------------------------------------------------------------------

def test_batch_is_its_pictures_one_by_one(traced, picture):
    coder = traced["zyc2022"]
    pictures = list(picture(70, 100, batch=3).astype(np.uint8))
    files = coder.compress_batch(pictures)
    assert [bitstream.parse(data)[0].width for data in files] == [100] * 3
    for together, data in zip(coder.decompress_batch(files), files):
        alone = coder.decompress(data)
        assert np.abs(together - alone.astype(int)).max() <= 1   # float32 synthesis


def test_batch_of_several_sizes_or_of_tiles_is_misuse(traced, x):
    coder = traced["zyc2022"]
    for files in ([coder.compress_pixels(x[:64, :64]), coder.compress_pixels(x[:64, :65])],
                  [coder.compress_pixels(x, tile=128)]):
        with pytest.raises(UsageError, match="one size, in one piece"):
            coder.decompress_batch(files)


# The grid that no value is in doubt on --------------------------------------------------------------------------

@pytest.fixture
def demanding(monkeypatch):
    """demanding(margin): encoders shift their grid unless every value is that far from a tie, in steps."""
    def demand(margin):
        changed = dataclasses.replace(arithmetic.PORTABLE, margin=margin)
        monkeypatch.setitem(arithmetic.ARITHMETICS, "portable", changed)
    return demand


def test_encoder_shifts_the_grid_until_no_value_is_in_doubt(traced, picture, demanding):
    coder, x = traced["zyc2022"], picture(64, 64)[0].astype(np.uint8)
    plain = bitstream.parse(coder.compress_pixels(x))[1][0]
    y = coder.graph.analyse(x[None], (0, 0, 64, 64), [0.0])
    slack = [float(coder.graph.encode(y, [phase]).slack[0]) for phase in range(4)]
    assert plain.phase == 0 and len(set(slack)) == 4
    best = int(np.argmax(slack))
    demanding(sorted(slack)[-1])
    shifted = bitstream.parse(coder.compress_pixels(x))[1][0]
    assert shifted.phase == best


def test_encoder_of_integers_is_never_in_doubt(traced, picture, demanding):
    demanding(0.49)
    assert bitstream.parse(traced["hypmqw2022"].compress_pixels(picture(64, 64)[0].astype(np.uint8)))[1][0].phase == 0


@pytest.mark.parametrize("script", WITHOUT_TCM)
@pytest.mark.parametrize("phase", range(4))
def test_file_decodes_at_every_phase_of_the_grid(script, phase, traced, picture):
    coder, x = traced[script], picture(70, 90)[0].astype(np.uint8)
    y = coder.graph.analyse(x[None], (0, 0, 70, 90), [0.0])
    strings, checks, escapes, num_escapes, crc, _ = coder.graph.encode(y, [phase])
    seal = bitstream.seal(90, 70, None, 0, 0, int(crc[0]), phase)
    record = Record(phase, tuple(map(int, checks[0])), tuple(strings.numpy()[0]), seal,
                    tuple(map(int, escapes[0, :num_escapes[0]])))
    data = bitstream.build(coder.start, 90, 70, [record])
    assert psnr(coder.decompress(data), coder.decompress(coder.compress_pixels(x))) > 30
    within = coder.graph.decompress_pixels(data).numpy().astype(int)
    assert np.abs(within - coder.decompress(data)).max() <= 1   # float32 synthesis, optimised otherwise inside a loop
    if phase:
        other = bitstream.build(coder.start, 90, 70, [dataclasses.replace(record, phase=phase - 1)])
        with pytest.raises(DataError):
            coder.decompress(other)


def off_by(steps: float, monkeypatch) -> None:
    """Makes the float64 of whatever is traced from now on another machine's: up to `steps` off where it is rounded."""
    in_coder, before_product = coders.Coder._rounded, integers.Integers._watched
    rng = np.random.default_rng(0)

    def noise(x, most):
        return tf.random.stateless_uniform(tf.shape(x), rng.integers(1 << 30, size=2), -most, most, x.dtype)

    def rounded(self, x):
        return in_coder(self, x + noise(x, steps) if x.dtype == tf.float64 else x)

    def watched(self, x, bits):
        unit, _ = integers._unit(integers._largest(x), bits)
        return before_product(self, x + noise(x, steps / 16) * unit, bits)

    monkeypatch.setattr(coders.Coder, "_rounded", rounded)
    monkeypatch.setattr(integers.Integers, "_watched", watched)


@pytest.mark.parametrize("script", ["zyc2022", pytest.param("lsk2023", marks=pytest.mark.slow)])
def test_machine_that_is_off_by_less_than_the_margin_decodes_the_same(script, saved, traced, picture, monkeypatch,
                                                                      demanding):
    """At a margin a hundred times the real one, at which grids are shifted often."""
    demanding(2.0 ** -20)
    files = [traced[script].compress_pixels(picture(64, 96, seed=seed)[0].astype(np.uint8)) for seed in range(12)]
    expected = [traced[script].decompress(data) for data in files]
    off_by(2.0 ** -20, monkeypatch)
    other = lic.load(str(saved[script]), stored=False)
    for data, pixels in zip(files, expected):
        assert np.abs(other.decompress(data) - pixels.astype(int)).max() <= 1


def test_machine_that_is_further_off_is_told_so_by_the_name_of_a_slice(saved, traced, picture, monkeypatch):
    data = traced["zyc2022"].compress_pixels(picture(200, 300)[0].astype(np.uint8))
    off_by(4, monkeypatch)
    with pytest.raises(DataError, match=r"the symbols of slice \d \(string \d\) are not"):
        lic.load(str(saved["zyc2022"]), stored=False).decompress(data)


def test_verify_refuses_a_file_that_this_machine_does_not_decode(saved, traced, picture, monkeypatch):
    coder, x = traced["zyc2022"], picture(200, 300)[0].astype(np.uint8)
    coder.compress_pixels(x, verify=True)
    off_by(4, monkeypatch)
    bad = codec.Codec(lic.load(str(saved["zyc2022"]), stored=False).graph, coder.about)
    bad.graph.encode = coder.graph.encode
    with pytest.raises(DataError):
        bad.compress_pixels(x, verify=True)


# Memory ---------------------------------------------------------------------------------------------------------

def test_tiles_grow_with_the_memory_of_the_machine(monkeypatch):
    sides = []
    for installed in (1 << 20, 1 << 30, 16 << 30, 1 << 40):
        monkeypatch.setattr(memory, "_of_group", lambda folder, installed=installed: (installed, installed - 1.0))
        monkeypatch.setattr(memory, "_field", lambda path, name, missing=0: 1 << 50)
        sides.append(memory.tile_side(2000, memory.budget()))
    assert sides == sorted(sides) and sides[0] == 128 and sides[1] < sides[2] == sides[3]
    assert (sides[2] + 2 * 128) ** 2 * 2000 <= memory.BUDGET


def test_picture_no_larger_than_a_tile_with_its_margins_is_coded_whole(traced, picture, monkeypatch):
    """Whatever its shape: tiles would cost time and a few bytes, and save no memory."""
    monkeypatch.setattr(memory, "tile_side", lambda *_: 128)
    whole, larger = picture(192, 768)[0].astype(np.uint8), picture(192, 832)[0].astype(np.uint8)
    coder = traced["zyc2022"]
    assert tile_of_file(coder.compress_pixels(whole)) is None
    assert tile_of_file(coder.compress_pixels(larger)) == (128, 128)
    assert coder.compress_pixels(whole) == coder.compress_pixels(whole, tile=0)
    assert tile_of_file(coder.compress_pixels(whole, tile=128)) == (128, 128)   # that was wished for


def test_thin_picture_counts_as_large_as_it_is_padded(traced, picture, monkeypatch):
    monkeypatch.setattr(memory, "tile_side", lambda *_: 128)
    thin = picture(20, 2400)[0].astype(np.uint8)   # 48,000 pixels, but 155,648 where the networks see them
    assert tile_of_file(traced["zyc2022"].compress_pixels(thin)) == (128, 128)


def test_picture_that_does_not_fit_is_refused_before_it_is_tried(traced, x, monkeypatch):
    data = traced["zyc2022"].compress_pixels(x)
    monkeypatch.setattr(memory, "available", lambda: 1 << 20)
    for work in (lambda: traced["zyc2022"].compress_pixels(x, tile=0), lambda: traced["zyc2022"].decompress(data)):
        with pytest.raises(DataError, match=r"takes about [\d.]+ GiB of memory, and 0\.0 GiB are left"):
            work()


def test_memory_of_a_control_group_counts_without_its_cache(tmp_path, monkeypatch):
    for names, words in ((("memory.max", "memory.current"), "inactive_file"),
                         (("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_inactive_file")):
        folder = tmp_path / words
        folder.mkdir()
        (folder / names[0]).write_text("1000\n")
        (folder / names[1]).write_text("900\n")
        (folder / "memory.stat").write_text(f"anon 5\n{words} 300\n")
        assert memory._of_group(str(folder)) == (1000, 600)
    (tmp_path / "inactive_file" / "memory.max").write_text("max\n")
    assert memory._of_group(str(tmp_path / "inactive_file"))[0] == float("inf")
    assert memory._of_group(str(tmp_path / "none"))[0] == float("inf")
    monkeypatch.setattr(memory, "_groups", lambda: [str(tmp_path / "total_inactive_file")])
    assert memory.available() == 400 and memory.budget() == 250


def test_memory_that_is_free_on_this_machine_is_known():
    assert 0 < memory.available() < 1 << 50


PEAK = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2 ** 20)
sys.exit(done.returncode)
"""


@pytest.mark.slow
def test_24_megapixels_go_there_and_back_below_four_gibibytes(process, tmp_path):
    """With a bundled model; `python -m tools.tiles 'kodak/*.png' --large --model small` does so with TCM small."""
    from lic import images
    from tools.tiles import mosaic
    x = mosaic([str(ROOT / "res" / "eval" / f"{name}.png") for name in ("kodim15", "kodim23")], 4000, 6000)
    images.write(tmp_path / "large.png", x)
    for command in (["compress", "large.png", "large.tfci"], ["decompress", "large.tfci", "back.png"]):
        ran = process("-c", PEAK, ROOT / "hypmqw2022.py", *command, cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert float(ran.out) < 4
    assert len(bitstream.parse((tmp_path / "large.tfci").read_bytes())[1]) > 1
    assert psnr(x, images.read(tmp_path / "back.png").pixels) > 25
