"""The notebook about a model of one's own: fine-tune, compare, keep, export, use without the project."""

from __future__ import annotations

from tools.notebooks.setting_up import ABOUT_COLAB, IMPORTS, INSTALL

_PICTURES = '''
parrots = resources.path("eval", "kodim23.png")
photographs = os.path.join(os.path.dirname(parrots), "kodim*.png")   # a folder or a pattern: put yours here
before = lic.load("hypmqw2022")
'''

_TRAIN = '''
import config
from lic import registry
from lic.training import Run

settings = config.Training(train_glob=photographs, train_path="build/own", init_from="hypmqw2022", epochs=3,
                           steps_per_epoch=20, batchsize=2, patchsize=128, learning_rate=2e-4, lr_schedule="cosine")
Run("hypmqw2022", registry.preset("hypmqw2022", before.about["preset"]), settings).train()
'''

_COMPARE = '''
own = lic.load("build/own/model", stored=False)   # an export needs the model, not graphs stored with it
picture = images.read(parrots).pixels
for name, codec in (("before", before), ("after", own)):
    data = codec.compress_pixels(picture, quality=50 if codec.variable else None)
    restored = codec.decompress(data)
    print(f"{name:6} model {codec.weights_id}: {len(data):,} bytes, {metrics.psnr(picture, restored):.2f} dB")
show({"original": picture, "your model": restored}, across=2)
'''

_KEEP = '''
from lic import bitstream, files

files.write_atomically("parrots.tfci", data)
header, _ = bitstream.parse(files.read_bytes("parrots.tfci"))
print(f"{header.width} x {header.height}, by model {header.weights_id.hex()}")
try:
    before.decompress(data)
except lic.DataError as error:
    print(error)
'''

_EXPORT = '''
import tensorflow as tf

from lic import export

tf.get_logger().setLevel("ERROR")   # it would tell where it writes
export.save(own, "build/exported/1")
print(*sorted(os.listdir("build/exported/1")))
'''

_USE = '''
import subprocess

STRANGER = """
import sys
import tensorflow as tf
import tensorflow_compression   # its range coder; nothing of this project
model = tf.saved_model.load("build/exported/1")
picture = tf.io.read_file(sys.argv[1])
data = model.signatures["compress"](image_bytes=picture[None])["file_bytes"][0]
tf.io.write_file("stranger.tfci", data)
tf.io.write_file("stranger.png", model.signatures["decompress"](file_bytes=data[None])["image_bytes"][0])
"""
subprocess.run([sys.executable, "-c", STRANGER, parrots], check=True)
same = files.read_bytes("stranger.tfci") == data
print("the same file" if same else "another file", "as that of your model:", os.path.getsize("stranger.tfci"), "bytes")
assert same
'''


def cells() -> list[str]:
    """The texts of the cells, in order."""
    return [
        "# A model of your own\n\nTrain on your photographs, keep the model, export it, and use it where this project "
        f"is not installed.\n\n{ABOUT_COLAB}",
        INSTALL,
        IMPORTS,
        "## Your photographs\n\nA folder of JPEG, PNG and BMP pictures, looked through to its depth. Two photographs "
        "stand in here; a few hundred make a start, thousands a model.",
        _PICTURES,
        "## Train\n\nFrom the weights of the model that comes along (`init_from`), which are good already; without it "
        "the run begins at random weights and wants hours. An interrupted run goes on when the cell is run again, and "
        "TensorBoard reads its `logs`.",
        _TRAIN,
        "## What came of it\n\nA minute changes little, and on the pictures that it was trained on any model looks "
        "better than it is: keep some aside.",
        _COMPARE,
        "## Files know their model\n\nThe folder `build/own/model` is the model: arrays and JSON. A file names the "
        "weights that made it, and no other model opens it.",
        _KEEP,
        "## Export\n\nA SavedModel takes the bytes of a picture and gives those of a file, and back.",
        _EXPORT,
        "## Use it elsewhere\n\nAnother process, with TensorFlow and tensorflow-compression alone.",
        _USE,
    ]
