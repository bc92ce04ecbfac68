"""Training patches from a folder of pictures or from TFDS, as a function of the seed and the step alone.

The n-th patch of a run is the same however often the run was interrupted, so that `train` goes on exactly where it was.
"""

from __future__ import annotations

import glob as globbing
import io
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
import warnings
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from lic import files
from lic.errors import DataError, UsageError

_ATTEMPTS = 100   # so many pictures in a row that can't be decoded end a run
_DECODED_BY_TF = (".jpg", ".jpeg", ".png", ".bmp")
_LAST_BYTES = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}   # a download that broke off lacks them


class Source(NamedTuple):
    """Training data: the number of pictures, and a function from a step to the batches from there on."""

    size: int
    batches: Callable[[int], tf.data.Dataset]


def find(pattern: str, patchsize: int) -> list[str]:
    """The pictures of a glob that TensorFlow reads and that hold a patch, sorted.

    Raises:
      UsageError: nothing matches. DataError: nothing that matches can be used.
    """
    paths = sorted(p for p in globbing.glob(pattern, recursive=True) if p.lower().endswith(_DECODED_BY_TF))
    if not paths:
        raise UsageError(f"--train_glob '{files.shown(pattern)}' matches no JPEG, PNG or BMP picture")
    bar = tqdm(paths, "looking at pictures", unit="", leave=False, disable=not sys.stderr.isatty())
    usable = [p for p in bar if _holds_a_patch(p, patchsize)]
    if not usable:
        raise DataError(f"none of the {len(paths)} pictures of '{files.shown(pattern)}' can be read and is at least "
                        f"{patchsize}x{patchsize}: give larger ones, or a smaller --patchsize")
    if len(usable) < len(paths):
        print(f"{len(paths) - len(usable)} of {len(paths)} pictures left out: unreadable, or smaller than "
              f"{patchsize}x{patchsize}", file=sys.stderr)
    return usable


def _holds_a_patch(path: str, patchsize: int) -> bool:
    if not os.path.isfile(path):
        return False  # opening a pipe would wait for its writer
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")  # Pillow's advice; of twice that size it refuses a picture
            fits = min(image.size) >= patchsize and image.mode in ("RGB", "L", "P", "RGBA", "LA", "1")
            return fits and _is_whole(path, image)
    except Exception:  # Pillow raises many kinds; all mean that this picture is left out
        return False


def _is_whole(path: str, image: Image.Image) -> bool:
    """Whether a picture has its end: one that has not would stop a training run when its turn comes."""
    if image.format not in _LAST_BYTES:
        image.load()
        return True
    with open(path, "rb") as file:
        file.seek(-min(4096, os.path.getsize(path)), os.SEEK_END)
        return _LAST_BYTES[image.format] in file.read()


def _corner(shape: tf.Tensor, patchsize: int, seed: tf.Tensor) -> tf.Tensor:
    """A random upper left corner (row, column) of a patch in a picture of that shape."""
    room = tf.cast(shape[:2] - patchsize, tf.float32)
    u = tf.random.stateless_uniform((2,), seed)
    return tf.minimum(tf.cast(u * (room + 1), tf.int32), shape[:2] - patchsize)


def _cut(contents: tf.Tensor, patchsize: int, seed: tf.Tensor) -> tf.Tensor:
    """A random patch of an encoded picture; of a JPEG only the blocks under it are decoded."""

    def from_jpeg():
        corner = _corner(tf.io.extract_jpeg_shape(contents), patchsize, seed)
        return tf.io.decode_and_crop_jpeg(contents, tf.concat([corner, [patchsize, patchsize]], 0), channels=3)

    def from_other():
        picture = tf.io.decode_image(contents, channels=3, expand_animations=False)
        corner = _corner(tf.shape(picture), patchsize, seed)
        return tf.slice(picture, tf.concat([corner, [0]], 0), (patchsize, patchsize, 3))

    return tf.cond(tf.io.is_jpeg(contents), from_jpeg, from_other)


def _flip(patch: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.image.stateless_random_flip_left_right(patch, seed)


def _seed(settings, n: tf.Tensor, purpose: int) -> tf.Tensor:
    return tf.stack([tf.constant(settings.seed * 7919 + purpose, tf.int64), n])


def _pick(settings, n: tf.Tensor, count: int) -> tf.Tensor:
    """Which picture the n-th patch comes from: a new order of all of them in each round."""
    seed = tf.stack([tf.constant(settings.seed, tf.int64), n // count])
    return tf.random.experimental.index_shuffle(tf.cast(n % count, tf.int32), seed, count - 1)


def _batches(settings, start_step: int, patch_of, name_of) -> tf.data.Dataset:
    """Batches (b, p, p, 3) uint8 from the given step on, without end."""
    sound = _Sound(patch_of, name_of)

    def patch(n):
        p = settings.patchsize
        return tf.ensure_shape(_flip(sound.patch_of(n), _seed(settings, n, 2)), (p, p, 3))

    data = tf.data.Dataset.range(start_step * settings.batchsize, 2 ** 62)
    data = data.map(patch, num_parallel_calls=settings.preprocess_threads)
    return data.batch(settings.batchsize, drop_remainder=True).prefetch(4)


class _Sound:
    """Patches of which those that can't be decoded are replaced, each by the next that can.

    A picture may have its beginning and its end and yet be broken between, or vanish while a run goes on. That must
    not end a day's training, and must not shift the patches after it.

    Args:
      patch_of: a function from a number to a patch.
      name_of: a function from a number to what that patch's picture is called.
    """

    def __init__(self, patch_of, name_of):
        self._patch_of, self._name_of = patch_of, name_of
        self._told: set[bytes] = set()

    def patch_of(self, n: tf.Tensor) -> tf.Tensor:
        attempts = tf.data.Dataset.range(n, n + _ATTEMPTS).map(lambda m: self._attempt(m, m > n))
        return attempts.ignore_errors().take(1).get_single_element()

    def _attempt(self, m, is_replacement):
        def tell():
            return tf.numpy_function(self._tell, [self._name_of(m - 1)], tf.bool)

        with tf.control_dependencies([tf.cond(is_replacement, tell, lambda: False)]):
            return self._patch_of(tf.identity(m))

    def _tell(self, name: bytes):
        if name not in self._told:
            self._told.add(name)
            shown = files.shown(os.fsdecode(name))
            tqdm.write(f"'{shown}' can't be decoded: other pictures take its place", file=sys.stderr)
        return np.bool_(True)


def from_files(settings) -> Source:
    """Random patches of the pictures of `settings.train_glob`."""
    found = find(settings.train_glob, settings.patchsize)
    paths = tf.constant([os.fsencode(path) for path in found])

    def name_of(n):
        return tf.gather(paths, _pick(settings, n, len(found)))

    def patch_of(n):
        return _cut(tf.io.read_file(name_of(n)), settings.patchsize, _seed(settings, n, 1))

    return Source(len(found), lambda start_step: _batches(settings, start_step, patch_of, name_of))


def from_tfds(settings, name: str = "clic") -> Source:
    """Random patches of a TFDS picture set; it is downloaded at its first use.

    Raises:
      DataError: the set is neither there nor to be had, or has no picture that holds a patch.
    """
    source = _tfds_source(name)
    numbers = tqdm(range(len(source)), "looking at pictures", leave=False, disable=not sys.stderr.isatty())
    large = [i for i in numbers if _large_enough(source[i]["image"], settings.patchsize)]
    if not large:
        raise DataError(f"none of the {len(source)} pictures of '{name}' is at least {settings.patchsize}x"
                        f"{settings.patchsize}: give a smaller --patchsize")

    def index_of(n):
        return tf.gather(tf.constant(large, tf.int64), _pick(settings, n, len(large)))

    def patch_of(n):
        contents = tf.numpy_function(lambda i: source[int(i)]["image"], [index_of(n)], tf.string, stateful=False)
        return _cut(tf.ensure_shape(contents, ()), settings.patchsize, _seed(settings, n, 1))

    def name_of(n):
        return tf.strings.join([f"{name} ", tf.strings.as_string(index_of(n))])

    return Source(len(large), lambda start_step: _batches(settings, start_step, patch_of, name_of))


def _tfds_source(name: str):
    """The training pictures of a TFDS set, encoded, by number."""
    try:
        import tensorflow_datasets as tfds  # slow to import, and not needed elsewhere
        options = {"split": "train", "decoders": {"image": tfds.decode.SkipDecoding()}}
        try:
            return tfds.data_source(name, download=False, **options)
        except (AssertionError, LookupError, ValueError):  # TFDS says that it is not here yet
            _ask_for(next(iter(tfds.builder(name).url_infos)))
            return tfds.data_source(name, **options)
    except Exception as error:  # TFDS raises whatever the network does
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise DataError(f"the data set '{name}' of TFDS can't be had ({reason}): "
                        "give --train_glob 'folder/**/*.jpg'") from None


def _ask_for(url: str) -> None:
    """Raises where nobody answers for a URL: without a network TFDS would retry for minutes."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=20).close()
    except urllib.error.HTTPError:
        pass   # somebody answers; TFDS will say what is wrong
    except OSError as error:
        host, reason = urllib.parse.urlsplit(url).netloc, getattr(error, "reason", error)
        raise OSError(f"no answer from {host}: {reason}") from None


def _large_enough(contents: bytes, patchsize: int) -> bool:
    try:
        with Image.open(io.BytesIO(contents)) as image:
            return min(image.size) >= patchsize
    except Exception:  # Pillow raises many kinds; all mean that this picture is left out
        return False


def open_source(settings) -> Source:
    """The training data that the settings ask for."""
    return from_files(settings) if settings.train_glob else from_tfds(settings)


def patches(settings, start_step: int = 0) -> tf.data.Dataset:
    """The same from a step on."""
    return open_source(settings).batches(start_step)
