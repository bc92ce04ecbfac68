"""Files that another machine wrote decode here: those beside this test were made on an Intel Xeon with AMX.

Whoever changes a bundled model or the format makes them anew, on a machine that is named above:
`for s in lsk2023 zyc2022 hypmqw2022; do python $s.py compress res/eval/kodim23.png tests/files/$s.tfci; done`
"""

from __future__ import annotations

from pathlib import Path

import pytest

import config
import lic
from lic import images, metrics

HERE = Path(__file__).resolve().parent
PICTURE = HERE.parent / "res" / "eval" / "kodim23.png"


@pytest.mark.parametrize("script", config.PRESETS)
def test_file_of_another_machine_decodes(script):
    data = (HERE / "files" / f"{script}.tfci").read_bytes()
    pixels = images.read(str(PICTURE)).pixels
    assert metrics.psnr(pixels, lic.load(script).decompress(data)) > 33
