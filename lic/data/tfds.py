"""Training pictures from TensorFlow Datasets."""

from __future__ import annotations

import io
import sys
import urllib.error
import urllib.parse
import urllib.request

import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from lic.data import batches
from lic.errors import DataError


def from_tfds(settings) -> batches.Source:
    """Random patches of the TFDS picture set `settings.tfds`; it is downloaded at its first use.

    Raises:
      DataError: the set is neither there nor to be had, or has no picture that holds a patch.
    """
    name = settings.tfds
    pictures = _open(name)
    numbers = tqdm(range(len(pictures)), "looking at pictures", leave=False, disable=not sys.stderr.isatty())
    large = [i for i in numbers if _large_enough(pictures[i], settings.patchsize)]
    if not large:
        raise DataError(f"none of the {len(pictures)} pictures of '{name}' is at least {settings.patchsize}x"
                        f"{settings.patchsize}: give a smaller --patchsize")

    def index_of(n):
        return tf.gather(tf.constant(large, tf.int64), batches.pick(settings, n, len(large)))

    def contents_of(n):
        contents = tf.numpy_function(lambda i: pictures[int(i)], [index_of(n)], tf.string, stateful=False)
        return tf.ensure_shape(contents, ())

    def name_of(n):
        return tf.strings.join([f"{name} ", tf.strings.as_string(index_of(n))])

    return batches.source(settings, len(large), contents_of, name_of)


class _Pictures:
    """The encoded pictures of a data source, by number.

    Args:
      source: TFDS's rows, each a dictionary.
      feature: the name of the picture in them.
    """

    def __init__(self, source, feature: str):
        self._source, self._feature = source, feature

    def __len__(self):
        return len(self._source)

    def __getitem__(self, i: int) -> bytes:
        return self._source[i][self._feature]


def _open(name: str) -> _Pictures:
    """The pictures of the `train` split of a TFDS set."""
    try:
        import tensorflow_datasets as tfds  # slow to import, and not needed elsewhere
        builder = tfds.builder(name)
        feature = _picture_feature(name, builder.info.features, tfds.features.Image)
        options = {"split": "train", "decoders": {feature: tfds.decode.SkipDecoding()}}
        try:
            source = tfds.data_source(name, download=False, **options)
        except (AssertionError, LookupError, ValueError):  # TFDS says that it is not here yet
            _ask_for(next(iter(builder.url_infos)))
            source = tfds.data_source(name, **options)
        return _Pictures(source, feature)
    except DataError:
        raise
    except Exception as error:  # TFDS raises whatever the network does
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise DataError(f"the data set '{name}' of TFDS can't be had ({reason}): "
                        "give --train_glob 'folder/**/*.jpg'") from None


def _picture_feature(name: str, features, kind: type) -> str:
    """The picture among the features of a set: `image`, or the last one where there are several (`lr`, `hr`)."""
    found = [feature for feature, of in features.items() if isinstance(of, kind)]
    if not found:
        raise DataError(f"the data set '{name}' of TFDS has no pictures, only {', '.join(features)}")
    return "image" if "image" in found else found[-1]


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
