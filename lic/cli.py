"""The one command line of all three scripts: flags, help, exit codes. What the commands do stands in `lic.commands`.

Nothing heavy is imported here, so that `--help`, `info FILE` and a mistyped flag are answered at once. Exit codes:
0 done, 1 bad data, 2 misuse, 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import io
import math
import os
import signal
import sys
import threading
from typing import Callable, NoReturn

from absl.flags import argparse_flags

import config
from lic import environment
from lic.errors import UserError
from lic.files import shown

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


class _Parser(argparse_flags.ArgumentParser):
    """Says in one line what is wrong, and where help is."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {shown(message)} (see --help)", file=sys.stderr)
        raise SystemExit(2)


def _add_fields(parser, settings, names: dict[str, str], suppress: bool) -> None:
    """A flag for each field of a settings dataclass."""
    for field in dataclasses.fields(settings):
        text = field.metadata["help"]
        default = argparse.SUPPRESS if suppress else field.default
        name = names.get(field.name, field.name)
        if isinstance(field.default, bool):
            parser.add_argument(f"--{name}", dest=field.name, action="store_true", default=default, help=text)
            continue
        default_note = "" if field.default in ("", None) else f" (default: {field.default})"
        parser.add_argument(f"--{name}", dest=field.name, type=type(field.default), default=default,
                            choices=config.CHOICES.get(field.name), help=text + default_note,
                            metavar=None if field.name in config.CHOICES else name.upper())


def _globals(suppress: bool) -> argparse.ArgumentParser:
    """The options that stand before or after the command; only before it they carry defaults."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("global options, before or after the command")
    group.add_argument("-V", "--verbose", action="store_true", help="print figures and seconds of each stage",
                       default=argparse.SUPPRESS if suppress else False)
    _add_fields(group, config.Runtime, {}, suppress)
    return parser


def _command(commands, script: str, name: str, text: str, example: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", parents=[_globals(suppress=True)],
        epilog=f"example: python {script}.py {example}", formatter_class=argparse.RawDescriptionHelpFormatter,
        inherited_absl_flags=None)


def _crop(text: str) -> tuple[int, ...]:
    """ "x,y,width,height" as numbers; whether they fit is up to the picture."""
    numbers = tuple(int(word) for word in text.split(","))
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"'{text}' is not X,Y,WIDTH,HEIGHT")
    return numbers


_crop.__name__ = "X,Y,W,H"   # argparse names it where a word is no number


def _positive(text: str) -> float:
    return _within(0, math.inf)(text)


def _within(least: float, most: float) -> Callable[[str], float]:
    """A number of that range, above 0 and finite."""
    def number(text: str) -> float:
        value = float(text)
        if not (least <= value <= most and 0 < value < math.inf):
            bounds = "positive" if most == math.inf else f"within {least:g}..{most:g}"
            raise argparse.ArgumentTypeError(f"'{text}' is not {bounds}")
        return value

    number.__name__ = "number"   # argparse names it where a word is none
    return number


def _whole(least: int, most: int, name: str) -> Callable[[str], int]:
    """A whole number of that range; argparse calls it `name` where a word is none."""
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"'{text}' is not within {least}..{most}")
        return value

    number.__name__ = name
    return number


def _qualities(text: str) -> tuple[float, ...]:
    """ "10,30,50" as numbers of 1..100."""
    numbers = tuple(float(word) for word in text.split(","))
    least, most = config.QUALITIES
    if not all(least <= number <= most for number in numbers):
        raise argparse.ArgumentTypeError(f"'{text}' holds a quality outside {least:g}..{most:g}")
    return numbers


_qualities.__name__ = "Q,Q,..."


def _names(text: str) -> tuple[str, ...]:
    """ "jpeg,webp" as names; none for an empty text."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _add_preset(parser, script: str) -> None:
    names = ", ".join(config.PRESETS[script])
    parser.add_argument("--preset", metavar="NAME",
                        help=f"architecture: {names} (default: {config.default_preset(script).name}); each also with "
                             f"{config.VARIABLE} at its end, one model for all rates")


def _lambdas(script: str) -> str:
    """The paper's, a line for each distortion."""
    tables = (f"  {distortion:8} {', '.join(map(str, table))}" for distortion, table in config.LAMBDAS[script].items())
    return "\n".join(("lambdas of the paper:", *tables))


def _add_against(parser) -> None:
    parser.add_argument("--against", type=_names, default=("jpeg", "webp", "avif"), metavar="CODEC,CODEC,...",
                        help="of jpeg, webp, avif, jpeg2000, jxl; '' for none (default: jpeg,webp,avif)")


def _add_keep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true",
                        help="leave outputs that exist as they are, and do the others (default: they are replaced)")


def _add_effort(parser) -> None:
    parser.add_argument("--effort", type=_whole(0, config.MAX_EFFORT, "number"), default=0, metavar="STEPS",
                        help="refine each picture's latent by so many steps of gradient descent, each of which takes "
                             "two or three times as long as coding: smaller files that decode as ever, of a model "
                             "with many rates (default: 0; 10 is a beginning, 40 gives most)")


def _add_model_path(parser) -> None:
    parser.add_argument("--model_path", metavar="DIR",
                        help="a trained model, a training run or an exported model (default: the bundled one)")


def parser_of(script: str) -> argparse.ArgumentParser:
    """The parser of a script."""
    parser = _Parser(prog=f"{script}.py", description=_TITLES[script], parents=[_globals(suppress=False)],
                     epilog=f"example: python {script}.py compress picture.png (each command has a --help)",
                     inherited_absl_flags=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    p = _command(commands, script, "train", "train a model on pictures",
                 "train --preset nano --lambda 0.01 --train_glob 'pics/**/*.jpg' --train_path build/nano")
    p.epilog = f"{_lambdas(script)}\n\n{_SEVERAL_DEVICES}\n\n{p.epilog}"
    _add_preset(p, script)
    _add_fields(p, config.Training, _TRAINING_NAMES, suppress=False)
    p.add_argument("--export_step", metavar="DIR",
                   help="do not train: write the training step to this folder, as a program that lic.pjrt_train runs "
                        "on any device that JAX knows, from where the run in TRAIN_PATH stands, if there is one")

    p = _command(commands, script, "compress", "compress pictures to .tfci files",
                 "compress picture.png picture.tfci --quality 30 -V")
    p.add_argument("inputs", nargs="+", metavar="PICTURE",
                   help="pictures (also globs in quotes); one picture may be followed by the name of its file, which "
                        "ends in .tfci (default: the picture's name with .tfci added)")
    p.add_argument("--out", metavar="DIR", help="folder for the files (default: beside each picture)")
    _add_keep(p)
    p.add_argument("--tile", type=int, metavar="PIXELS",
                   help="cut larger pictures into tiles of at most this side, a multiple of 128; 0 for none (default: "
                        "what fits into 2.5 GiB, or into a quarter of the machine's memory)")
    wish = p.add_mutually_exclusive_group()
    wish.add_argument("--quality", type=_within(*config.QUALITIES), metavar="Q",
                      help="1..100, kept in halves, of a model with many rates (default: 50)")
    wish.add_argument("--bpp", type=_positive, metavar="BITS",
                      help="the quality whose file has about so many bits a pixel, found by at most 7 estimates")
    wish.add_argument("--psnr", type=_positive, metavar="DB", help="the same for the PSNR of what is decoded, in dB")
    _add_effort(p)
    p.add_argument("--verify", action="store_true", help="decode each file again before it is written")
    _add_model_path(p)

    p = _command(commands, script, "decompress", "decompress .tfci files to pictures",
                 "decompress picture.tfci restored.png")
    p.add_argument("inputs", nargs="+", metavar="FILE.tfci",
                   help="files (also globs in quotes); one file may be followed by the name of its picture, whose "
                        "ending says the format (default: the file's name with .png added)")
    p.add_argument("--out", metavar="DIR", help="folder for the pictures (default: beside each file)")
    _add_keep(p)
    p.add_argument("--crop", type=_crop, metavar="X,Y,W,H",
                   help="decode only this part of the picture, in pixels from its left and top")
    p.add_argument("--original", metavar="PICTURE", help="measure the distance to it; prints figures as -V does")
    _add_model_path(p)

    p = _command(commands, script, "evaluate", "measure models beside classical codecs and write a report",
                 "evaluate 'kodak/*.png' --against jpeg,webp,avif --out report")
    p.add_argument("inputs", nargs="+", metavar="PICTURE", help="pictures (also globs in quotes)")
    p.add_argument("--quality", type=_qualities, metavar="Q,Q,...",
                   help="qualities 1..100 of models of variable rate (default: 10,30,50,70,90)")
    p.add_argument("--model_path", nargs="+", metavar="MODEL",
                   help="folders of models, or names of scripts for their bundled ones (default: the bundled one); "
                        "models of one rate and one preset make a curve together")
    _add_effort(p)
    _add_against(p)
    p.add_argument("--out", default="report", metavar="DIR",
                   help="folder of the report, which may hold an older one (default: report)")

    p = _command(commands, script, "demo", "show a page in the browser: drop a picture, see what is left of it",
                 "demo --port 7860")
    p.add_argument("--port", type=_whole(1, 65535, "PORT"), metavar="PORT",
                   help="of this machine (default: the first free from 7860 on)")
    _add_against(p)
    _add_model_path(p)

    p = _command(commands, script, "export", "write a SavedModel with compress and decompress signatures",
                 "export exported/1 --model_path build/nano/model")
    p.add_argument("folder", metavar="DIR", help="a new folder")
    _add_model_path(p)

    p = _command(commands, script, "serve", "serve models over gRPC and REST, as TensorFlow Serving does",
                 "serve exported --grpc_port 8500 --rest_port 8501")
    p.add_argument("models", nargs="*", metavar="MODEL_DIR",
                   help="an exported model, a folder of versions 1, 2, ... of which the highest is served, or another "
                        "model, which is exported for the time; DIR or NAME=DIR, once for each of several models "
                        "(default: the bundled model)")
    _add_fields(p, config.Serving, {}, suppress=False)

    p = _command(commands, script, "convert", "make a model of a PyTorch checkpoint",
                 "convert checkpoint.pth.tar --out build/converted")
    p.add_argument("checkpoint", metavar="CHECKPOINT", help=f"a file of torch.save with weights of {_PEERS[script]}")
    p.add_argument("--out", metavar="DIR",
                   help="a new folder for the model (default: the checkpoint's name with .model added)")

    p = _command(commands, script, "info", "tell about a file, a model or a preset", "info picture.tfci --json")
    p.add_argument("target", nargs="?", metavar="FILE_OR_MODEL", help="a .tfci file or the folder of a model")
    _add_preset(p, script)
    p.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _settings(cls, arguments):
    """The fields of a settings dataclass out of the parsed arguments."""
    return cls(**{f.name: getattr(arguments, f.name) for f in dataclasses.fields(cls)})


class _CtrlC:
    """Ctrl-C raises KeyboardInterrupt, as ever, and is remembered: libraries turn it into errors of their own."""

    pressed = False

    def __call__(self, *_) -> NoReturn:
        self.pressed = True
        raise KeyboardInterrupt

    def again(self, unraisable) -> None:
        """For `sys.unraisablehook`: destructors and callbacks of the garbage collector swallow it; it comes again."""
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        else:
            sys.__unraisablehook__(unraisable)


_ctrl_c = _CtrlC()


def run(script: str, arguments: argparse.Namespace) -> int:
    """Runs a parsed command and returns its exit code."""
    environment.prepare()
    try:
        from lic import commands
        arguments.runtime = _settings(config.Runtime, arguments)
        if arguments.command == "train":
            arguments.training = _settings(config.Training, arguments)
        if arguments.command == "serve":
            arguments.serving = _settings(config.Serving, arguments)
        code = getattr(commands, arguments.command)(script, arguments) or 0
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"{script}: {shown(str(error))}", file=sys.stderr)  # names may hold anything
        return error.exit_code
    except UnicodeEncodeError:
        print(f"{script}: TensorFlow reads and writes only under names of UTF-8: use another place", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{script}: interrupted", file=sys.stderr)
        return 130
    except MemoryError:
        print(f"{script}: not enough memory", file=sys.stderr)
        return 1
    except OSError as error:
        if not isinstance(error, BrokenPipeError):   # as of `info ... | head`, which is nobody's mistake
            print(f"{script}: {shown(str(error))}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception:
        if not _ctrl_c.pressed:
            raise
        print(f"{script}: interrupted", file=sys.stderr)
        return 130


def main(script: str) -> NoReturn:
    """Runs a script's command line and exits.

    Not under absl's `app.run`: a TensorFlow that is first imported in there comes up half in graph mode.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")   # a name may hold what a terminal can't show
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:   # not in the background of a shell script
        signal.signal(signal.SIGINT, _ctrl_c)
        sys.unraisablehook = _ctrl_c.again
    sys.modules.setdefault("jax", None)   # type: ignore[arg-type]  # TensorFlow would load it, 0.6 s, for nothing
    code = run(script, parser_of(script).parse_args())
    signal.signal(signal.SIGINT, signal.SIG_IGN)   # all is done
    gc.freeze()   # so that Python does not look for garbage once more, which takes 0.4 s
    sys.exit(code)


def lsk2023() -> None:
    """The installed command `lsk2023`."""
    main("lsk2023")


def zyc2022() -> None:
    """The installed command `zyc2022`."""
    main("zyc2022")


def hypmqw2022() -> None:
    """The installed command `hypmqw2022`."""
    main("hypmqw2022")
