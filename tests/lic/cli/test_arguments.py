"""The parser of each script: what it takes, and what its help shows."""

from __future__ import annotations

import config
from lic.cli import setting_flags
from lic.cli.arguments import parser_of
from tests.scripts import SCRIPTS


def test_example_in_each_help_parses():
    for script in SCRIPTS:
        commands = parser_of(script)._subparsers._group_actions[0].choices
        for name, parser in commands.items():
            words = parser.epilog.split(".py ", 1)[1].replace("'", "").split()
            assert parser_of(script).parse_args(words).command == name


def test_global_options_stand_before_or_after_the_command():
    for script in SCRIPTS:
        parse = parser_of(script).parse_args
        options = ["--arithmetic", "float32", "--precision", "bfloat16", "--tf32", "--xla", "--deterministic",
                   "--threads", "3", "-V"]
        before, after = parse([*options, "compress", "a.png"]), parse(["compress", *options, "a.png"])
        mixed = parse([*options[:4], "compress", "a.png", *options[4:]])
        assert vars(before) == vars(after) == vars(mixed)
        assert setting_flags.read(config.Runtime, before) == config.Runtime("float32", "bfloat16", True, True, True, 3)
        assert setting_flags.read(config.Runtime, parse(["compress", "a.png"])) == config.Runtime()
        assert parse(["--threads", "3", "compress", "a.png", "--threads", "4"]).threads == 4


def test_every_training_setting_is_a_flag():
    arguments = parser_of("zyc2022").parse_args(["train", "--lambda", "0.5", "--epochs", "7"])
    assert setting_flags.read(config.Training, arguments) == config.Training(lmbda=0.5, epochs=7)
