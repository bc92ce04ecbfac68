"""What can lie under a name: lying headers, bombs, pipes, devices, closed doors, strange names. One line each, no hang.

Real processes; a command line goes on after a bad file, so one process meets many of them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lic import files, images
from tests.scripts import ROOT

SCRIPT = "hypmqw2022"  # whose tiny model is the first to be ready
ODD_NAMES = ("two words", "line\nbreak", "ünïcode 画", os.fsdecode(b"undecodable \xff"), "[brackets]*", "-dash")
MORTAL = Path(__file__).with_name("mortal.py")


def run(*arguments, cwd, script=SCRIPT) -> tuple[int, bytes, list[str]]:
    """(exit code, stdout, lines of stderr) of a script, under which nobody may walk through closed doors."""
    done = subprocess.run([sys.executable, MORTAL, ROOT / f"{script}.py", *arguments], cwd=cwd, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=300, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    return done.returncode, done.stdout, done.stderr.decode().splitlines()


def png(width: int, height: int, stream: bytes) -> bytes:
    """A PNG of 8 bit RGB with this head, whatever its zlib stream holds."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


def zeros(length: int, block: int = 15_000_100) -> bytes:
    """The zlib stream of so many zero bytes, of which only one block is really compressed."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    body = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)  # looks at nothing before
    assert length % block == 0
    return head + body * (length // block) + b"\3\0" + struct.pack(">HH", length % 65521, 1)


def bomb() -> bytes:
    """50,000 x 50,000 pixels in 7 MB."""
    return png(50_000, 50_000, zeros(50_000 * (1 + 3 * 50_000)))


def with_sides(kind: str, data: bytes, width: int, height: int) -> bytes:
    """A picture file whose header claims these sides."""
    lying = bytearray(data)
    if kind == "PNG":
        lying = bytearray(png(width, height, data[41:-16]))
    elif kind == "JPEG":
        struct.pack_into(">HH", lying, data.index(b"\xff\xc0") + 5, height, width)
    elif kind == "BMP":
        struct.pack_into("<ii", lying, 18, width, height)
    else:
        start = struct.unpack_from("<I", data, 4)[0]
        for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
            tag = struct.unpack_from("<H", data, entry)[0]
            if tag in (256, 257):
                struct.pack_into("<HII", lying, entry + 2, 4, 1, width if tag == 256 else height)
    return bytes(lying)


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, kind)
    return stored.getvalue()


@pytest.fixture(scope="module")
def pixels(picture) -> np.ndarray:
    return picture(20, 30)[0].astype(np.uint8)


# Pictures that lie, read in a process that counts its memory --------------------------------------------------------

READER = """
import json, resource, sys, time
from lic import images
from lic.errors import DataError
report = {}
for name in sys.argv[1:]:
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        said = list(images.read(name).pixels.shape)
    except DataError as error:
        said = str(error)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    report[name] = [said, time.perf_counter() - start, memory // 1024]
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def read(process):
    """read(folder) -> {name: (shape or the line of refusal, seconds, MB)} of all files in there."""
    def of(folder: Path) -> dict:
        names = sorted(os.listdir(folder))
        ran = process("-c", READER, *names, cwd=folder, PYTHONPATH=str(ROOT))
        assert (ran.code, ran.err) == (0, "") and list(json.loads(ran.out)) == names
        return json.loads(ran.out)

    return of


def test_the_bomb_is_a_real_picture():
    """Of a smaller bomb built the same way: Pillow reads it, and its checksums hold."""
    x = np.asarray(Image.open(io.BytesIO(png(1000, 500, zeros(500 * 3001, 3001 * 5)))))
    assert x.shape == (500, 1000, 3) and not x.any()
    assert 2_000_000 < len(bomb()) < 10_000_000


@pytest.mark.parametrize(("width", "height"), [(30, 1000), (1000, 20), (17_000, 17_000), (50_000, 50_000)])
def test_sides_that_lie_are_refused_without_being_made_room_for(width, height, pixels, read, tmp_path):
    """A JPEG may lie by a little: libjpeg fills it up with grey, and tells nobody (see the gotchas of lic.images)."""
    for kind in ("PNG", "JPEG", "BMP", "TIFF"):
        (tmp_path / kind).write_bytes(with_sides(kind, encoded(pixels, kind), width, height))
    if width * height < 100_000:
        (tmp_path / "JPEG").unlink()
    for name, (said, seconds, memory) in read(tmp_path).items():
        assert f"cannot read {name}: " in said and ("broken" in said or "megapixels" in said), said
        assert seconds < 5 and memory < 100, name


def test_bomb_is_refused_before_it_is_unpacked(read, tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb())
    (said, seconds, memory), = read(tmp_path).values()
    assert "more than 300 megapixels" in said
    assert seconds < 5 and memory < 60, "7 MB of file, and none of the 7.5 GB that are in it"


def test_pictures_that_break_off_anywhere_are_refused(pixels, read, tmp_path):
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM"):
        whole = encoded(pixels, kind)
        for part in (1, 9, len(whole) // 2, len(whole) * 3 // 4):
            (tmp_path / f"{kind} {part}").write_bytes(whole[:part])
    for said, *_ in read(tmp_path).values():
        assert isinstance(said, str) and ("broken" in said or "not a picture" in said), said


# The commands -------------------------------------------------------------------------------------------------------

def make_bad_inputs(folder: Path, good: bytes) -> dict[str, str]:
    """Puts there what is no readable file, and returns what has to be said of each."""
    os.mkfifo(folder / "deserted")
    (folder / "folder").mkdir()
    (folder / "empty").write_bytes(b"")
    (folder / "cut").write_bytes(good[:len(good) // 2])
    (folder / "closed").write_bytes(good)
    (folder / "closed").chmod(0)
    here = os.getcwd()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        os.chdir(folder)  # a socket wants a short name
        listener.bind("socket")
        os.chdir(here)
    return {"deserted": "nobody writes into this pipe", "folder": "this is a directory", "empty": "the file is empty",
            "cut": "truncated", "closed": "permission denied", "socket": "this is a socket", "missing": "no such file",
            "/dev/zero": "device or terminal", "n" * 300: "the name is too long"}


def make_full_device(path: Path) -> None:
    """A node of its own: where the code is wrong and root runs this, /dev/full would be a plain file afterwards."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    except PermissionError:
        path.symlink_to("/dev/full")


def make_bad_outputs(folder: Path, good: bytes, name: str, suffix: str) -> dict[str, str]:
    """Puts a good file into folders where nothing can be written, and returns what has to be said of each."""
    for place in ("unread", "full", "sealed", "taken"):
        (folder / place).mkdir()
        (folder / place / name).write_bytes(good)
    os.mkfifo(folder / "unread" / f"{name}{suffix}")
    make_full_device(folder / "full" / f"{name}{suffix}")
    (folder / "taken" / f"{name}{suffix}").mkdir()
    (folder / "sealed").chmod(0o555)
    long = "n" * 253
    (folder / long).write_bytes(good)
    return {f"unread/{name}": "nobody reads from this pipe", f"full/{name}": "the disk is full",
            f"taken/{name}": "this is a directory", f"sealed/{name}": "permission denied", long: "the name is too long"}


def check_lines(lines: list[str], says: dict[str, str]) -> None:
    """One line for each bad file, with its name and what is wrong, and no other."""
    assert len(lines) == len(says), lines
    for (name, words), line in zip(says.items(), lines):
        assert line.startswith(f"{SCRIPT}: ") and files.shown(name) in line and words in line, (name, line)


@contextlib.contextmanager
def writing_into(pipe: Path, data: bytes):
    """A slow writer at the other end of a new pipe."""
    os.mkfifo(pipe)

    def write():
        with open(pipe, "wb", buffering=0) as file:
            for i in range(0, len(data), 100):
                time.sleep(0.01)
                file.write(data[i:i + 100])

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()


@contextlib.contextmanager
def reading_from(pipe: Path, got: list[bytes]):
    """A reader at the other end of a new pipe."""
    os.mkfifo(pipe)
    thread = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()


def left_over(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names if name.startswith(".lic-")]


def test_compress_meets_everything_that_can_lie_under_a_name(saved, codecs, pixels, tmp_path):
    good = encoded(pixels, "PNG")
    expected = codecs[SCRIPT].compress(pixels)
    says = {**make_bad_inputs(tmp_path, good), "bomb": "more than 300 megapixels", "lie": "broken"}
    (tmp_path / "bomb").write_bytes(bomb())
    (tmp_path / "lie").write_bytes(with_sides("PNG", good, 30, 25_000))
    says.update(make_bad_outputs(tmp_path, good, "a.png", ".tfci"))
    for name in (*ODD_NAMES, "heard"):
        (tmp_path / name).write_bytes(good)
    got: list[bytes] = []
    with writing_into(tmp_path / "alive", good), reading_from(tmp_path / "heard.tfci", got):
        code, out, lines = run("compress", "--model_path", saved[SCRIPT], "--", *says, "alive", "heard", *ODD_NAMES,
                               cwd=tmp_path)
    assert (code, out) == (1, b"")
    check_lines(lines, says)
    for name in ("alive", *ODD_NAMES):
        assert (tmp_path / f"{name}.tfci").read_bytes() == expected
    assert got == [expected] and not left_over(tmp_path)
    whole = [name for name in os.listdir(tmp_path) if name.endswith(".tfci")]
    assert len(whole) == len(ODD_NAMES) + 2, "and nothing of what was refused"


def test_decompress_meets_everything_that_can_lie_under_a_name(saved, codecs, pixels, tmp_path):
    good = codecs[SCRIPT].compress(pixels)
    expected = codecs[SCRIPT].decompress(good)
    says = {**make_bad_inputs(tmp_path, good), **make_bad_outputs(tmp_path, good, "a.tfci", ".png")}
    for name in (*ODD_NAMES, "heard"):
        (tmp_path / name).write_bytes(good)
    got: list[bytes] = []
    with writing_into(tmp_path / "alive", good), reading_from(tmp_path / "heard.png", got):
        code, out, lines = run("decompress", "-V", "--model_path", saved[SCRIPT], "--", *says, "alive", "heard",
                               *ODD_NAMES, cwd=tmp_path)
    assert code == 1
    check_lines(lines, says)
    for name in ("alive", *ODD_NAMES):
        np.testing.assert_array_equal(images.read(tmp_path / f"{name}.png").pixels, expected)
        assert f"{files.shown(name)} -> {files.shown(name)}.png: 30 x 20" in out.decode()
    assert got == [images.encode_png(expected)] and not left_over(tmp_path)


def test_info_meets_everything_that_can_lie_under_a_name(codecs, pixels, tmp_path):
    good = codecs[SCRIPT].compress(pixels)
    for name, words in make_bad_inputs(tmp_path, good).items():
        if name == "folder":
            words = "no model in"
        code, out, lines = run("info", name, cwd=tmp_path)
        assert (code, out) == (1, b"")
        check_lines(lines, {name: words})
    for name in ODD_NAMES:
        (tmp_path / name).write_bytes(good)
        code, out, lines = run("info", "--", name, cwd=tmp_path)
        assert (code, lines) == (0, []) and files.shown(name) in out.decode()
    with writing_into(tmp_path / "alive", good):
        assert run("info", "--json", "alive", cwd=tmp_path)[0] == 0


def test_printing_to_a_full_disk_or_in_another_alphabet_is_no_traceback(codecs, pixels, tmp_path):
    (tmp_path / "画").write_bytes(codecs[SCRIPT].compress(pixels))
    command = [sys.executable, ROOT / f"{SCRIPT}.py", "info", "画"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1 and b"No space left" in done.stderr
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60,
                          env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0 and rb"\u753b" in done.stdout and not done.stderr


@pytest.mark.slow
def test_train_leaves_out_what_is_no_picture_and_learns_from_the_rest(picture, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    good = encoded(picture(70, 80)[0].astype(np.uint8), "PNG")
    make_bad_inputs(folder, good)
    for name in os.listdir(folder):
        os.rename(folder / name, folder / f"{name}.png")
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "lie.png").write_bytes(with_sides("PNG", good, 90, 90))
    for name in ODD_NAMES:
        (folder / f"{name}.png").write_bytes(good)
    code, _, lines = run(
        "train", "--preset", "tiny", "--train_glob", f"{folder}/*.png", "--train_path", "line\nbreak", "--epochs", "1",
        "--steps_per_epoch", "6", "--batchsize", "2", "--patchsize", "64", cwd=tmp_path)
    assert code == 0, lines
    left_out, begins, *rest = lines
    assert left_out == "7 of 14 pictures left out: unreadable, or smaller than 64x64" and "7 pictures" in begins
    said = [line for line in rest if "can't be decoded" in line]
    assert said == [f"'{folder}/lie.png' can't be decoded: other pictures take its place"] and len(rest) == 3
    assert (tmp_path / "line\nbreak" / "model" / "weights.npz").exists()


@pytest.mark.slow
def test_tensorflow_gets_no_name_that_it_cannot_take(saved, pixels, here, tmp_path):
    name = os.fsdecode(b"undecodable \xff")
    images.write("a.png", pixels)
    train = ("train", "--preset", "tiny", "--train_glob", "a.png", "--patchsize", 16, "--train_path")
    model = ("--model_path", saved[SCRIPT])
    for arguments in ((*train, name), (*train, "run", "--model_path", name), ("export", f"{name}/1", *model)):
        code, _, lines = here(SCRIPT, *arguments)
        assert code == 1 and len(lines) == 1 and "UTF-8" in lines[0], lines
    assert here(SCRIPT, "export", name, *model)[0] == 0, "only the places above it are told TensorFlow"
    shutil.copytree(name, "copy")
    assert here(SCRIPT, "info", "copy")[0] == 0 and not left_over(tmp_path)


MANY = """
import json, sys
from lic import cli
script, *lines = json.loads(sys.argv[1])
print(json.dumps([cli.run(script, line) for line in lines]))
"""


@pytest.mark.slow
def test_export_meets_places_where_nothing_can_be_written(saved, tmp_path):
    make_bad_inputs(tmp_path, b"good")
    (tmp_path / "sealed").mkdir(0o555)
    (tmp_path / "hidden").mkdir(0o333)
    os.symlink("nowhere", tmp_path / "dangling")
    cases = (("deserted", 2, "exists and is not empty"), ("empty", 2, "exists and is not empty"),
             ("sealed/1", 1, "Permission denied"), ("hidden", 1, "Permission denied"), ("empty/1", 1, "File exists"),
             ("n" * 300, 1, "name too long"), ("dangling", 2, "exists and is not empty"))
    before = sorted(os.listdir(tmp_path))
    lines = [["export", name, "--model_path", str(saved[SCRIPT])] for name, *_ in cases]
    done = subprocess.run([sys.executable, MORTAL, "-c", MANY, json.dumps([SCRIPT, *lines])], cwd=tmp_path, text=True,
                          capture_output=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)})
    said = done.stderr.splitlines()
    assert json.loads(done.stdout) == [code for _, code, _ in cases] and len(said) == len(cases), done.stderr
    for (name, _, words), line in zip(cases, said):
        assert f"{name}'" in line and words in line, line
    assert sorted(os.listdir(tmp_path)) == before


# A full disk, in this process, where TensorFlow is up already --------------------------------------------------------

@contextlib.contextmanager
def full_disk(folder: Path, free: int):
    """What is said of a disk with so many bytes free; where none may be mounted, of files that may grow no longer."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={max(free, 4096)}", "tmpfs", folder], capture_output=True
                      ).returncode == 0:
        if not free:
            (folder / "filler").write_bytes(bytes(4096))
        try:
            yield "disk is full|No space left|not enough space"
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free + 50, before[1]))
    try:
        yield "grows over the size|File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("free", "commands"), [
    (0, ("compress", "decompress", "train")), (60_000, ("export", "train"))], ids=["from the start", "on the way"])
def test_full_disk_is_one_line_and_nothing_half_stays(free, commands, saved, codecs, picture, here, tmp_path):
    """From the beginning; and, for what writes several files, after some of them."""
    large = picture(200, 300)[0].astype(np.uint8)
    images.write("large.png", large)
    Path("large.tfci").write_bytes(codecs[SCRIPT].compress(large))
    disk, model = Path("disk"), ("--model_path", saved[SCRIPT])
    lines_of = {
        "compress": ("large.png", disk / "a.tfci", *model), "decompress": ("large.tfci", disk / "a.png", *model),
        "export": (disk / "model", *model),
        "train": ("--preset", "tiny", "--train_glob", "large.png", "--train_path", disk / "run", "--epochs", 1,
                  "--steps_per_epoch", 1, "--batchsize", 1, "--patchsize", 64)}
    with full_disk(disk, free) as says:
        for command in commands:
            code, out, lines = here(SCRIPT, command, *lines_of[command])
            assert (code, out) == (1, "") and re.search(says, lines[-1]), (command, lines)
            assert len(lines) == (2 if command == "train" and free else 1), "what is trained, and what is wrong"
            assert sorted(os.listdir(disk)) in (["run"], ["filler", "run"], ["filler"], []), command
