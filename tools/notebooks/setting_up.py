"""The cells with which every notebook begins."""

from __future__ import annotations

INSTALL = '''
import importlib.util
import sys

REPOSITORY = ""   # where this project lies, as https://github.com/NAME/PROJECT; only needed where it is not installed

if importlib.util.find_spec("lic") is None:
    assert sys.version_info < (3, 12), "TensorFlow 2.14 needs Python 3.9 to 3.11: choose an older runtime version"
    assert REPOSITORY, "write the address of the repository in the line above"
    !git clone --quiet --depth 1 {REPOSITORY} lic-tf
    %cd lic-tf
    %pip install --quiet -e ".[evaluate]"
'''

ABOUT_COLAB = """In Colab, choose a runtime version with Python 3.11 under *Runtime*, *Change runtime type* (TensorFlow
2.14 needs 3.9 to 3.11), and write the address of the repository in the next cell. Where the project is installed
already, the cell does nothing. A processor is enough."""

IMPORTS = '''
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"   # before TensorFlow comes up

from matplotlib import pyplot as plt

import lic
from lic import images, metrics, resources

%config InlineBackend.figure_formats = ["jpeg"]
%config InlineBackend.print_figure_kwargs = {"pil_kwargs": {"quality": 80}}
plt.rcParams.update({"figure.dpi": 100, "axes.titlesize": 9, "font.size": 9})


def show(pictures, across, **options):
    """Pictures under their names, so many in a row."""
    down = -(-len(pictures) // across)
    height = max(pixels.shape[0] / pixels.shape[1] for pixels in pictures.values())
    _, axes = plt.subplots(down, across, figsize=(11, 11 / across * height * down + 0.3 * down), squeeze=False,
                                layout="constrained")
    for ax in axes.flat:
        ax.axis("off")
    for ax, (name, pixels) in zip(axes.flat, pictures.items()):
        ax.imshow(pixels, **options)
        ax.set_title(name)
    plt.show()
'''
