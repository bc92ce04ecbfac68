"""CompressAI's ELIC, timed in a process of its own: `python peer_compressai.py PIXELS.npy THREADS`.

Runs under another interpreter, one that has `compressai`, and imports nothing of ours. For each line on standard input
it works once and prints the seconds: "compress" or "decompress".
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from compressai.models.sensetime import Elic2022Official


def main() -> None:
    torch.set_num_threads(int(sys.argv[2]))
    torch.manual_seed(0)
    model = Elic2022Official().eval()
    model.update()
    x = torch.from_numpy(np.load(sys.argv[1])).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        coded = model.compress(x)
        print("ready", flush=True)
        for line in sys.stdin:
            start = time.perf_counter()
            if line.strip() == "compress":
                coded = model.compress(x)
            else:
                model.decompress(coded["strings"], coded["shape"])
            print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
