"""The arguments of the one command line: a function for each command, and its help.

Nothing heavy is imported here, so that `--help` and a mistyped flag are answered at once.
"""

from __future__ import annotations

import argparse

from absl.flags import argparse_flags

import config
from lic.cli import setting_flags
from lic.cli.argument_types import crop, names, place, positive, qualities, whole, within
from lic.cli.one_line import InOneLine

_TITLES = {
    "lsk2023": "TCM: Learned Image Compression with Mixed Transformer-CNN Architectures (CVPR 2023)",
    "zyc2022": "SwinT-ChARM and its siblings: Transformer-Based Transform Coding (ICLR 2022)",
    "hypmqw2022": "ELIC: Unevenly Grouped Space-Channel Contextual Adaptive Coding (CVPR 2022)",
}
_PEERS = {
    "lsk2023": "LIC_TCM (jmliu206/LIC_TCM)",
    "zyc2022": "TBTC (ali-zafari/TBTC), of any of its four models",
    "hypmqw2022": "CompressAI's Elic2022Official or Elic2022Chandelier (InterDigitalInc/CompressAI)",
}
_TRAINING_NAMES = {"lmbda": "lambda"}
_SEVERAL_DEVICES = """\
several GPUs of a machine train together; so do machines that the environment variable TF_CONFIG names:
  {"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}"""


class _Parser(InOneLine, argparse_flags.ArgumentParser):
    """Without the flags of absl."""


def parser_of(script: str) -> argparse.ArgumentParser:
    """The parser of a script."""
    parser = _Parser(prog=f"{script}.py", description=_TITLES[script], parents=[_globals(suppress=False)],
                     epilog=f"example: python {script}.py compress picture.png (each command has a --help)",
                     inherited_absl_flags=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_train, _compress, _decompress, _evaluate, _demo, _export, _serve, _convert, _info):
        add(commands, script)
    return parser


def _globals(suppress: bool) -> argparse.ArgumentParser:
    """The options that stand before or after the command; only before it they carry defaults."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("global options, before or after the command")
    group.add_argument("-V", "--verbose", action="store_true", help="print figures and seconds of each stage",
                       default=argparse.SUPPRESS if suppress else False)
    setting_flags.add(group, config.Runtime, suppress=suppress)
    return parser


def _command(commands, script: str, name: str, text: str, example: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", parents=[_globals(suppress=True)],
        epilog=f"example: python {script}.py {example}", formatter_class=argparse.RawDescriptionHelpFormatter,
        inherited_absl_flags=None)


def _train(commands, script: str) -> None:
    p = _command(commands, script, "train", "train a model on pictures",
                 "train --preset nano --lambda 0.01 --train_glob 'pics/**/*.jpg' --train_path build/nano")
    p.epilog = f"{_lambdas(script)}\n\n{_SEVERAL_DEVICES}\n\n{p.epilog}"
    _add_preset(p, script)
    setting_flags.add(p, config.Training, _TRAINING_NAMES)
    p.add_argument("--export_step", type=place, metavar="DIR",
                   help="do not train: write the training step to this folder, as a program that lic.pjrt_train runs "
                        "on any device that JAX knows, from where the run in TRAIN_PATH stands, if there is one")


def _compress(commands, script: str) -> None:
    p = _command(commands, script, "compress", "compress pictures to .tfci files",
                 "compress picture.png picture.tfci --quality 30 -V")
    p.add_argument("inputs", nargs="+", metavar="PICTURE",
                   help="pictures (also globs in quotes); one picture may be followed by the name of its file, which "
                        "ends in .tfci (default: the picture's name with .tfci added)")
    p.add_argument("--out", type=place, metavar="DIR", help="folder for the files (default: beside each picture)")
    _add_keep(p)
    p.add_argument("--tile", type=int, metavar="PIXELS",
                   help="cut larger pictures into tiles of at most this side, a multiple of 128; 0 for none (default: "
                        "what fits into 2.5 GiB, or into a quarter of the machine's memory)")
    wish = p.add_mutually_exclusive_group()
    wish.add_argument("--quality", type=within(*config.QUALITIES), metavar="Q",
                      help="1..100, kept in halves, of a model with many rates (default: 50)")
    wish.add_argument("--bpp", type=positive, metavar="BITS",
                      help="the quality whose file has about so many bits a pixel, found by at most 7 estimates")
    wish.add_argument("--psnr", type=positive, metavar="DB", help="the same for the PSNR of what is decoded, in dB")
    _add_effort(p)
    p.add_argument("--verify", action="store_true", help="decode each file again before it is written")
    _add_model_path(p)


def _decompress(commands, script: str) -> None:
    p = _command(commands, script, "decompress", "decompress .tfci files to pictures",
                 "decompress picture.tfci restored.png")
    p.add_argument("inputs", nargs="+", metavar="FILE.tfci",
                   help="files (also globs in quotes); one file may be followed by the name of its picture, whose "
                        "ending says the format (default: the file's name with .png added)")
    p.add_argument("--out", type=place, metavar="DIR", help="folder for the pictures (default: beside each file)")
    _add_keep(p)
    p.add_argument("--crop", type=crop, metavar="X,Y,W,H",
                   help="decode only this part of the picture, in pixels from its left and top")
    p.add_argument("--original", type=place, metavar="PICTURE",
                   help="measure the distance to it; prints figures as -V does")
    _add_model_path(p)


def _evaluate(commands, script: str) -> None:
    p = _command(commands, script, "evaluate", "measure models beside classical codecs and write a report",
                 "evaluate 'kodak/*.png' --against jpeg,webp,avif --out report")
    p.add_argument("inputs", nargs="+", metavar="PICTURE", help="pictures (also globs in quotes)")
    p.add_argument("--quality", type=qualities, metavar="Q,Q,...",
                   help="qualities 1..100 of models of variable rate (default: 10,30,50,70,90)")
    p.add_argument("--model_path", nargs="+", type=place, metavar="MODEL",
                   help="folders of models, or names of scripts for their bundled ones (default: the bundled one); "
                        "models of one rate and one preset make a curve together")
    _add_effort(p)
    _add_against(p)
    p.add_argument("--out", type=place, default="report", metavar="DIR",
                   help="folder of the report, which takes the place of an older one there (default: report)")


def _demo(commands, script: str) -> None:
    p = _command(commands, script, "demo", "show a page in the browser: drop a picture, see what is left of it",
                 "demo --port 7860")
    p.add_argument("--port", type=whole(1, 65535, "PORT"), metavar="PORT",
                   help="of this machine (default: the first free from 7860 on)")
    _add_against(p)
    _add_model_path(p)


def _export(commands, script: str) -> None:
    p = _command(commands, script, "export", "write a SavedModel with signatures that compress and decompress",
                 "export exported/1 --model_path build/nano/model")
    p.add_argument("folder", metavar="DIR",
                   help="a new folder; the signatures are compress and decompress, and compress_at, which takes a "
                        "quality for each picture, of a model with many rates")
    _add_model_path(p)


def _serve(commands, script: str) -> None:
    p = _command(commands, script, "serve", "serve models over gRPC and REST, as TensorFlow Serving does",
                 "serve exported --grpc_port 8500 --rest_port 8501")
    p.add_argument("models", nargs="*", metavar="MODEL_DIR",
                   help="an exported model, a folder of versions 1, 2, ... of which the highest is served, or another "
                        "model, which is exported for the time; DIR or NAME=DIR, once for each of several models "
                        "(default: the bundled model)")
    setting_flags.add(p, config.Serving)


def _convert(commands, script: str) -> None:
    p = _command(commands, script, "convert", "make a model of a PyTorch checkpoint",
                 "convert checkpoint.pth.tar --out build/converted")
    p.add_argument("checkpoint", metavar="CHECKPOINT", help=f"a file of torch.save with weights of {_PEERS[script]}")
    p.add_argument("--out", type=place, metavar="DIR",
                   help="a new folder for the model (default: the checkpoint's name with .model added)")


def _info(commands, script: str) -> None:
    p = _command(commands, script, "info", "tell about a file, a model or a preset", "info picture.tfci --json")
    p.add_argument("target", nargs="?", metavar="FILE_OR_MODEL", help="a .tfci file or the folder of a model")
    _add_preset(p, script)
    p.add_argument("--json", action="store_true", help="print JSON")


def _add_preset(parser, script: str) -> None:
    presets = ", ".join(config.PRESETS[script])
    parser.add_argument("--preset", metavar="NAME",
                        help=f"architecture: {presets} (default: {config.default_preset(script).name}); each also with "
                             f"{config.VARIABLE} at its end, one model for all rates")


def _lambdas(script: str) -> str:
    """The paper's, a line for each distortion."""
    tables = (f"  {distortion:8} {', '.join(map(str, table))}" for distortion, table in config.LAMBDAS[script].items())
    return "\n".join(("lambdas of the paper:", *tables))


def _add_against(parser) -> None:
    parser.add_argument("--against", type=names, default=("jpeg", "webp", "avif"), metavar="CODEC,CODEC,...",
                        help="of jpeg, webp, avif, jpeg2000, jxl; '' for none (default: jpeg,webp,avif)")


def _add_keep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true",
                        help="leave outputs that exist as they are, and do the others (default: they are replaced)")


def _add_effort(parser) -> None:
    parser.add_argument("--effort", type=whole(0, config.MAX_EFFORT, "number"), default=0, metavar="STEPS",
                        help="refine each picture's latent by so many steps of gradient descent, each of which takes "
                             "two or three times as long as coding: smaller files that decode as ever, of a model "
                             "with many rates (default: 0; 10 is a beginning, 40 gives most)")


def _add_model_path(parser) -> None:
    parser.add_argument("--model_path", type=place, metavar="DIR",
                        help="a trained model, a training run or an exported model (default: the bundled one)")
