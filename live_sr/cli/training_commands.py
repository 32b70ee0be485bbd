"""Commands that make a network of one's own: learn, train, export."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr.cli import argument_types
from live_sr.cli.shared_flags import (
    HelpWithDefaults,
    add_config_flag,
    add_track_flags,
    find_config,
    get_track_place,
    load_settings,
)
from live_sr.training import require
from live_sr.training.learn.options import PRIORITIES, RATES, LearnOptions
from live_sr.training.options import OPTIMIZERS, SAMPLINGS, ExportOptions, TrainOptions

if TYPE_CHECKING:
    from live_sr.cli.shared_flags import Commands

EXPORT_PACKAGES = ("torch", "safetensors", "onnx", "onnxruntime")

LEARN = """\
Make a network for one game, from pairs of pictures that you take while it is paused.

  live-sr learn --window "My Game"       takes pairs, trains for some minutes, measures, and keeps what is better
  live-sr learn --pairs pairs/mygame     the same with pairs that are there; needs no game

Give the game's window the size that you play at. For each pair, pause the game somewhere else and press Enter: the
window is captured as it is and, for a moment, up to four times as large. From ten pairs on, the answer t begins the
training, which works only while no other program wants the processor. The network is kept if it is at least 0.3 dB
better, on pictures that it was not trained with, than `fast` and every filter. The pairs are always kept, and the same
command goes on with them. `live-sr models remove NAME` deletes the network."""

TRAIN = """\
Train a network on pairs of game frames.

  live-sr train --from fast --scale 2 --pairs pairs/mygame --minutes 60 --out runs/mygame-x2

Each folder of --pairs holds lr/ and hr/ with files of the same name: the same instant, small and large (`live-sr pairs`
makes them). The large one is averaged down to SCALE times the small one. Ctrl-C stops; --resume with the same flags
goes on from the last checkpoint. `live-sr export` makes a model of OUT/weights.safetensors.
On several GPUs: torchrun --nproc-per-node N -m live_sr train ..."""


def add_commands(commands: Commands) -> None:
    _learn_flags(
        commands.add_parser(
            "learn", help="make a network for your own game", description=LEARN, formatter_class=HelpWithDefaults
        )
    )
    train = commands.add_parser(
        "train", help="train a network on pairs of frames", description=TRAIN, formatter_class=HelpWithDefaults
    )
    _main_flags(train)
    _network_flags(train.add_argument_group("the network"))
    _pace_flags(train.add_argument_group("how it is trained"))
    _loss_flags(train.add_argument_group("what is made small (the loss)"))
    train.set_defaults(command=_train)
    _export_flags(
        commands.add_parser("export", help="make a model file of trained weights", formatter_class=HelpWithDefaults)
    )


def _learn_flags(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--window", metavar="TITLE", help="the window whose title or process contains this")
    what.add_argument("--pid", type=int, help="the window of this process")
    flag(
        "--pairs",
        type=Path,
        metavar="DIR",
        help="the folder of pairs (one for each game, in the folder of your data); without a window, no more are taken",
    )
    flag("--name", help="what to call the network (after the game)")
    flag("--model", choices=tuple(RATES), default=LearnOptions.model, help="the network to train further")
    flag("--scale", type=int, choices=(2, 4), default=LearnOptions.scale, help="how much larger its pictures are")
    flag("--steps", type=argument_types.parse_positive_integer, default=LearnOptions.steps, help="of the training")
    flag(
        "--threads",
        type=argument_types.parse_positive_integer,
        default=LearnOptions.threads,
        help="CPU threads of the training",
    )
    flag(
        "--priority",
        choices=PRIORITIES,
        default=LearnOptions.priority,
        help="idle: the training waits for every other program, and leaves a graphics card alone; normal: it is sooner "
        "over, and a game may stutter",
    )
    add_config_flag(parser)
    parser.set_defaults(command=_learn)


def _main_flags(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag(
        "--pairs",
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of pairs, one for each game; DIR,DIR for one game",
    )
    flag("--data", type=Path, metavar="FILE.toml", help="a manifest of folders with weights, instead or besides")
    flag(
        "--leave-out",
        nargs="+",
        default=[],
        metavar="SOURCE",
        help="sources not to train on: folders of --pairs or names in --data",
    )
    flag(
        "--hold-out",
        type=argument_types.parse_positive_integer,
        default=TrainOptions.hold_out,
        metavar="N",
        help="one place in N is kept back to validate with",
    )
    flag("--out", type=Path, required=True, metavar="DIR", help="folder for checkpoint and weights")
    flag("--scale", type=int, default=TrainOptions.scale, choices=(2, 3, 4), help="how much larger the pictures become")
    flag(
        "--from",
        dest="start",
        metavar="NAME|FILE",
        help="begin with a network that ships, or with weights: also of a shallower network or of another scale",
    )
    flag(
        "--minutes",
        type=argument_types.parse_positive,
        help="end after this time; the learning rate falls by the clock",
    )
    flag("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    flag("--device", help="cpu, cuda, cuda:1 ... (cuda where there is one)")
    flag(
        "--threads",
        type=argument_types.parse_positive_integer,
        default=TrainOptions.threads,
        help="CPU threads; more are slower on busy cores",
    )
    flag("--bf16", action="store_true", help="compute in bfloat16 where that is safe")
    flag("--compile", action="store_true", help="compile the network first; takes a C++ compiler and half a minute")
    flag("--seed", type=int, default=TrainOptions.seed, help="of everything random")
    add_track_flags(parser)


def _network_flags(group: argparse._ArgumentGroup) -> None:
    flag = group.add_argument
    flag("--model", metavar="NAME", help="the size of a network that ships: turbo, fast, balanced, quality")
    flag("--features", type=argument_types.parse_positive_integer, help="another number of channels")
    flag(
        "--depth",
        type=argument_types.parse_positive_integer,
        help="another number of layers between the first and the last",
    )
    flag(
        "--wide",
        type=argument_types.parse_integer,
        default=TrainOptions.wide,
        help="channels of the wide detour in each hidden layer; 0: none",
    )


def _pace_flags(group: argparse._ArgumentGroup) -> None:
    flag, whole = group.add_argument, argument_types.parse_positive_integer
    flag("--steps", type=whole, default=TrainOptions.steps, help="end after this many steps")
    flag("--batch", type=whole, default=TrainOptions.batch, help="patches in each step and process")
    flag("--patch", type=whole, default=TrainOptions.patch, help="side of a patch in small pixels")
    flag(
        "--augment",
        type=argument_types.parse_share,
        default=TrainOptions.augment,
        help="probability of each of: mirrored, turned, recoloured, brighter or darker",
    )
    flag(
        "--sampling",
        choices=SAMPLINGS,
        default=TrainOptions.sampling,
        help="which patches are drawn most: of much contrast, or of much error after bicubic interpolation",
    )
    flag(
        "--optimizer",
        choices=OPTIMIZERS,
        default=TrainOptions.optimizer,
        help="takes the steps: muon learns more in each; with it, no --wide, and a --rate of 1e-3 (from scratch 3e-3)",
    )
    flag("--rate", type=argument_types.parse_positive, default=TrainOptions.rate, help="peak learning rate")
    flag("--warm-up", type=whole, default=TrainOptions.warm_up, help="steps until that peak")
    flag(
        "--average",
        type=argument_types.parse_share,
        default=TrainOptions.average,
        help="decay of the weights' moving average",
    )
    flag("--every", type=whole, default=TrainOptions.every, help="steps between checkpoints")
    flag(
        "--teacher",
        type=Path,
        metavar="FILE",
        help="weights of a larger network, whose pictures are mixed into the targets",
    )
    flag(
        "--teacher-share",
        type=argument_types.parse_share,
        default=TrainOptions.teacher_share,
        help="its share of a target",
    )


def _loss_flags(group: argparse._ArgumentGroup) -> None:
    flag = group.add_argument
    flag(
        "--epsilon",
        type=argument_types.parse_positive,
        default=TrainOptions.epsilon,
        help="of the Charbonnier loss, of full scale 1",
    )
    flag("--psnr", action="store_true", help="the PSNR itself as the loss instead")
    flag("--luma", type=argument_types.parse_weight, default=TrainOptions.luma, help="weight of the luma in it")
    flag("--fft", type=argument_types.parse_weight, default=TrainOptions.fft, help="weight of a loss on the spectrum")
    flag("--ssim", type=argument_types.parse_weight, default=TrainOptions.ssim, help="weight of a loss on luma's SSIM")
    flag(
        "--perceptual",
        type=float,
        default=TrainOptions.perceptual,
        help="weight of a loss on VGG-19's features (torchvision)",
    )
    flag(
        "--gan", type=argument_types.parse_weight, default=TrainOptions.gan, help="weight of a relativistic average GAN"
    )


def _export_flags(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Turn trained weights into a model that live-sr runs: NAME-xN.onnx, NAME-xN.safetensors and a card, "
        "NAME-xN.toml.\n\n"
        "  live-sr export runs/mygame-x2/weights.safetensors --name mygame --test pairs/test --out runs/mygame-x2"
    )
    flag = parser.add_argument
    flag("weights", type=Path, metavar="WEIGHTS", help="what `live-sr train` wrote")
    flag("--name", required=True, help="what to call the model")
    flag("--out", type=Path, required=True, metavar="DIR", help="folder for the three files")
    flag(
        "--test", type=Path, nargs="+", default=[], metavar="DIR", help="pairs to measure it on, a folder for each game"
    )
    flag(
        "--int8",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="pairs that it was trained with; their small frames show with which ranges inner layers compute in int8",
    )
    flag("--trained-on", default=ExportOptions.trained_on, help="a sentence for the card")
    flag(
        "--minutes",
        type=argument_types.parse_integer,
        default=ExportOptions.minutes,
        help="how long it was trained, for the card",
    )
    flag("--machine", default=ExportOptions.machine, help="where it was trained, for the card")
    flag("--notes", default=ExportOptions.notes, help="what else to know, for the card")
    flag("--licence", default=ExportOptions.licence, help="for the card")
    parser.set_defaults(command=_export)


def _learn(a: argparse.Namespace) -> int:
    require(*EXPORT_PACKAGES)
    from live_sr import manage
    from live_sr.training.learn import command

    settings = load_settings(a)

    def add(file: Path, replace: bool) -> object:
        return manage.add_models([file], None, None, replace=replace, settings=settings)

    options = LearnOptions(**{field.name: getattr(a, field.name) for field in fields(LearnOptions)})
    return command.run(options, command.OwnModels(manage.check_new_name, add), find_config(a.config))


def _train(a: argparse.Namespace) -> int:
    require("torch", "safetensors")
    from live_sr.training import train

    a.pairs, a.leave_out, a.track = tuple(a.pairs), tuple(a.leave_out), get_track_place(a)
    return train.run(TrainOptions(**{field.name: getattr(a, field.name) for field in fields(TrainOptions)}))


def _export(a: argparse.Namespace) -> int:
    require(*EXPORT_PACKAGES)
    from live_sr.training import export

    a.test, a.int8 = tuple(a.test), tuple(a.int8)
    return export.run(ExportOptions(**{field.name: getattr(a, field.name) for field in fields(ExportOptions)}))
