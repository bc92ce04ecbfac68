"""The page in a real browser: what a visitor does with it, at the width of a desk and of a phone."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import config
import lic
from lic import export, loading, resources, stored_graph
from tests.scripts import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.browser]

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
WIPE = ".slider-wrap img, .image-container img"   # the two pictures under the slider
WAIT = 120_000   # milliseconds at most for what takes a model


@contextlib.contextmanager
def served(model, **environment):
    """The address of the page of a model, and afterwards its exit code in a list."""
    command = [sys.executable, str(ROOT / "hypmqw2022.py"), "demo", "--model_path", str(model)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
                               env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment})
    ended: list = []
    try:
        line = process.stdout.readline()
        address = re.match(r"(http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)", line)
        assert address, line + process.stderr.read()
        yield address[1], ended
    finally:
        process.send_signal(signal.SIGINT)
        ended[:] = [process.wait(30), process.stdout.read(), process.stderr.read()]


@pytest.fixture(scope="module")
def coder(saved_many):
    """What the page has to agree with."""
    return lic.load(str(saved_many))


@pytest.fixture(scope="module")
def outside():
    """A door that everything which wants to leave this machine would have to knock at."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        yield door


@pytest.fixture(scope="module")
def address(saved_many, outside, tmp_path_factory):
    folder = tmp_path_factory.mktemp("temporary")
    proxy = f"http://127.0.0.1:{outside.getsockname()[1]}"
    ways_out = {name: proxy for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy")}
    with served(saved_many, **ways_out, NO_PROXY="127.0.0.1,localhost", TMPDIR=str(folder)) as (address, ended):
        yield address
    assert ended == [0, "", ""], "Ctrl-C is how it ends"
    assert not list(folder.iterdir()), "what was dropped on it goes with it"


@pytest.fixture
def page(chromium, address):
    """A visit; it fails where the browser asks anything of another machine."""
    with visit(chromium, address) as page:
        yield page


@contextlib.contextmanager
def visit(chromium, address):
    context = chromium.new_context(viewport=DESK)
    page, asked = context.new_page(), []
    page.set_default_timeout(WAIT)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("input[type=file]", state="attached")
    before = 0
    while len(asked) > before:   # what is dropped while parts of the page still load may get lost
        before = len(asked)
        page.wait_for_timeout(1000)
    yield page
    context.close()
    assert asked and not [url for url in asked if not url.startswith((address, "data:", "blob:"))]


@pytest.fixture(scope="module")
def photo(tmp_path_factory, picture) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(picture(176, 240)[0].astype(np.uint8)).save(path)
    return path


def drop(page, path) -> None:
    page.set_input_files("input[type=file]", str(path))


def wait_for_all(page) -> None:
    """Until the last of the three classical codecs is there."""
    page.wait_for_selector(".lic-table tr:has-text('AVIF')")
    page.wait_for_selector(".lic-crops figure:nth-child(5)")


def table(page) -> dict[str, list[str]]:
    rows = [row.split("\t") for row in page.inner_text(".lic-table").splitlines()[1:]]
    return {name: cells for name, *cells in rows}


def wiped(page) -> list[np.ndarray]:
    """The two pictures under the slider, as the browser has them."""
    return shown(page, page.locator(WIPE))[:2]


def shown(page, images) -> list[np.ndarray]:
    sources = images.evaluate_all("images => images.map(image => image.src)")
    return [np.asarray(Image.open(io.BytesIO(page.request.get(source).body())).convert("RGB")) for source in sources]


def test_dropped_picture_stands_beside_its_reconstruction_and_classical_codecs_of_its_size(page, photo, coder):
    drop(page, photo)
    wait_for_all(page)
    pixels = np.asarray(Image.open(photo))
    data = coder.compress_pixels(pixels, quality=50)
    found = table(page)
    assert list(found) == ["hypmqw2022 tiny-variable", "JPEG", "WebP", "AVIF"]
    mine = found.pop("hypmqw2022 tiny-variable")
    assert mine[0] == f"{len(data):,}" and mine[1] == f"{8 * len(data) / (176 * 240):.4f}" and mine[4] == "50"
    left, right = wiped(page)
    np.testing.assert_array_equal(left, pixels)
    np.testing.assert_array_equal(right, coder.decompress(data))
    with page.expect_download() as download:
        page.get_by_text("Download the .tfci").click()
    assert download.value.suggested_filename == "photo.png.tfci"
    assert Path(download.value.path()).read_bytes() == data


def test_quality_that_is_moved_and_codec_that_is_chosen_are_shown(page, photo):
    drop(page, photo)
    wait_for_all(page)
    page.get_by_label("JPEG", exact=True).click()
    page.wait_for_selector("label:has-text('JPEG | hypmqw2022')")
    before, jpeg = int(table(page)["hypmqw2022 tiny-variable"][0].replace(",", "")), wiped(page)[0]
    box = page.locator("input[type=range]").bounding_box()
    page.mouse.click(box["x"] + 0.05 * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_function(f"() => !document.querySelector('.lic-table').innerText.includes('{before:,}')")
    wait_for_all(page)
    assert int(table(page)["hypmqw2022 tiny-variable"][0].replace(",", "")) < before
    page.wait_for_selector("label:has-text('JPEG | hypmqw2022')")
    assert page.get_by_label("JPEG", exact=True).is_checked() and not np.array_equal(wiped(page)[0], jpeg)


def test_line_wipes_and_the_wheel_zooms(page, photo):
    drop(page, photo)
    wait_for_all(page)
    images = page.locator(WIPE)
    line = page.locator(".outer, .handle, [role=slider]").first
    box = images.first.bounding_box()
    was = line.bounding_box()["x"]
    page.mouse.move(was + 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.up()
    assert line.bounding_box()["x"] < was - box["width"] / 8
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    for _ in range(8):
        page.mouse.wheel(0, -200)
    page.wait_for_function("([wipe, width]) => [...document.querySelectorAll(wipe)].some("
                           "image => image.getBoundingClientRect().width > 1.1 * width)", arg=[WIPE, box["width"]])


def test_place_that_is_clicked_on_the_map_of_bits_is_enlarged(page, photo):
    drop(page, photo)
    wait_for_all(page)
    pixels, source = np.asarray(Image.open(photo)), page.locator(".lic-crops img").first
    before = source.get_attribute("src")
    box = page.locator("button:has(img) img, .image-frame img").last.bounding_box()
    corner = (2, 2) if before != first_crop(pixels[:96, :96]) else (box["width"] - 2, box["height"] - 2)
    page.mouse.click(box["x"] + corner[0], box["y"] + corner[1])
    page.wait_for_function("before => document.querySelector('.lic-crops img').src != before", arg=before)
    part = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.get_attribute("src").split(",")[1]))))
    np.testing.assert_array_equal(part, pixels[:96, :96] if corner == (2, 2) else pixels[-96:, -96:])


def first_crop(pixels) -> str:
    from lic import images
    return "data:image/png;base64," + base64.b64encode(images.encode_png(pixels)).decode()


def test_file_is_opened_and_what_is_broken_is_one_line(page, photo, coder, tmp_path):
    data = coder.compress_pixels(np.asarray(Image.open(photo)), quality=20)
    for name, content, said in (
            ("cut.tfci", data[:-5], "the file is"), ("half.png", photo.read_bytes()[:3000], "broken or truncated"),
            ("text.png", b"no picture", "not a picture"), ("empty.png", b"", "empty")):
        (tmp_path / name).write_bytes(content)
        drop(page, tmp_path / name)
        line = page.wait_for_selector(f".lic-error:has-text('{said}')").inner_text()
        assert "\n" not in line and "Traceback" not in line and str(tmp_path) not in line and "/" not in line
        page.get_by_label("Clear").click()
        page.wait_for_selector(".lic-error", state="detached")
    (tmp_path / "whole.tfci").write_bytes(data)
    drop(page, tmp_path / "whole.tfci")
    page.wait_for_selector(f".lic-line:has-text('240 x 176, {len(data):,} bytes')")
    assert any(np.array_equal(coder.decompress(data), each) for each in shown(page, page.locator("img")))


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_stands_out_over_the_side_of_the_page(page, photo, size):
    page.set_viewport_size(size)
    drop(page, photo)
    wait_for_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    for selector in (".lic-crops", ".lic-scroll", ".lic-bar"):
        box = page.locator(selector).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= size["width"] and box["width"] > 250


def test_nothing_left_the_machine(page, outside):
    with pytest.raises(BlockingIOError):
        outside.accept()


@pytest.fixture
def exported(lively, tmp_path):
    """The folder of an exported model of one rate."""
    model = lively("hypmqw2022")
    model.freeze()
    export.save(loading.from_model(model, "hypmqw2022", b"\1\2\3\4", config.Runtime()), str(tmp_path / "1"))
    return tmp_path / "1"


def test_exported_model_of_one_rate_has_no_slider_but_a_map(chromium, exported, photo):
    with served(exported) as (address, ended), visit(chromium, address) as page:
        drop(page, photo)
        wait_for_all(page)
        assert not page.locator("input[type=range]").count()
        assert page.locator(".lic-bar").is_visible()
    assert ended[0] == 0


def test_savedmodel_without_its_stored_graphs_has_no_map_and_says_so(chromium, exported, photo):
    (exported / resources.SAVED_EXTRA / stored_graph.FILE).unlink()
    with served(exported) as (address, ended), visit(chromium, address) as page:
        drop(page, photo)
        wait_for_all(page)
        assert "A SavedModel by itself carries no estimate" in page.inner_text("body")
        assert not page.locator(".lic-bar").count()
    assert ended[0] == 0
