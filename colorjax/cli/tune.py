"""The command `colorjax tune`."""

from __future__ import annotations

import argparse
import sys

from colorjax import config as config_words
from colorjax.errors import Interrupted, RequestError
from colorjax.runtime import paths

_STOPPED = 75  # exit status


def add_tune(commands: argparse._SubParsersAction) -> None:
    """Adds `colorjax tune`."""
    tune = commands.add_parser(
        "tune",
        help="search good values of a config's fields, with Optuna",
        description="Trains a config many times with other values of some fields, chooses by "
        "photos held out of training, and writes a report and the best config. Hopeless trials "
        "are given up early. The same command goes on where it was stopped or killed.",
        epilog=(
            "examples:\n"
            "  colorjax tune --config=configs/plain_cnn.py --workdir=runs/knobs --trials 30 "
            "\\\n      --minutes 1 --config.data.path=PHOTOS\n"
            "  colorjax tune --config=configs/unet.py:width=0.25 --workdir=runs/unet-rate \\\n"
            "      --space optimizer.learning_rate=log:1e-4..1e-2 --space batch_size=16,32,64 \\\n"
            "      --photos 50000 --config.data.path=PHOTOS\n"
            "  colorjax tune ... --storage=postgresql://USER@HOST/DB   on each of some machines\n"
            "  python -m colorjax.main --config=runs/knobs/best.py --workdir=runs/best\n\n"
            "spaces: FIELD=VALUE,VALUE,... FIELD=LOW..HIGH FIELD=log:LOW..HIGH; for tuples\n"
            "(1,2),(2,2) or factors x0.5,x1; a file of such lines; six-knobs, of plain_cnn\n"
            "(its default): kernel size, filters, dropout, batch size, strides, and epochs by\n"
            "early stopping. See docs/tune.md."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tune.set_defaults(act=_tune, fields=[])
    tune.add_argument("--config", required=True, metavar="FILE.py[:ARGS]")
    tune.add_argument("--workdir", required=True, metavar="DIR", help="folder of the study")
    tune.add_argument(
        "--space", action="append", default=[], metavar="SPACE", help="what is varied; repeated"
    )
    tune.add_argument(
        "--trials", type=int, default=30, metavar="N", help="of the study (default: %(default)s)"
    )
    tune.add_argument(
        "--photos",
        type=int,
        metavar="N",
        help="that a trial trains on, counting repetitions (those of the config)",
    )
    tune.add_argument(
        "--minutes", type=float, default=0.0, metavar="M", help="of training, at most, a trial"
    )
    tune.add_argument(
        "--evaluations", type=int, default=10, metavar="N", help="in a trial (%(default)s)"
    )
    tune.add_argument(
        "--patience",
        type=int,
        default=3,
        metavar="N",
        help="evaluations without improvement that end a trial; 0: never (%(default)s)",
    )
    tune.add_argument("--metric", help="of the photos to choose by (the config's, else mae_ab)")
    tune.add_argument(
        "--pruner",
        default="median",
        metavar="NAME",
        help="gives up trials: median, halving or none (default: %(default)s)",
    )
    tune.add_argument("--seed", type=int, default=0, metavar="S", help="of the search (0)")
    tune.add_argument(
        "--storage",
        default="",
        metavar="URL",
        help="of Optuna, for several machines; journal:FILE (default: WORKDIR/study.db)",
    )
    tune.add_argument("--study", default="tune", metavar="NAME", help="within the storage")
    tune.add_argument("--timeout", metavar="TIME", help="end with status 75 after, say, 55m")
    tune.add_argument(
        "--config.FIELD",
        dest="config_field",
        metavar="VALUE",
        action=_Example,
        help="sets a field of the config for all trials, as --config.FIELD=VALUE",
    )


class _Example(argparse.Action):
    """Stands in --help for the fields of a config, which are read elsewhere."""

    def __call__(self, parser, namespace, values, option_string=None):
        raise RequestError("--config.FIELD stands for a field, such as --config.batch_size=32")


def _tune(args: argparse.Namespace) -> int:
    wrong = [word for word in args.fields if not word.startswith("--config.") or "=" not in word]
    if wrong:
        raise RequestError(f"unrecognized arguments: {wrong[0]}; see colorjax tune --help")
    if args.trials < 1:
        raise RequestError(f"--trials is at least 1, not {args.trials}")
    from colorjax.train import stopping  # imports JAX: not for --help

    limit = stopping.parse_duration(args.timeout, "--timeout") if args.timeout else None
    root = paths.local(args.workdir)
    from colorjax.tune import ledger  # imports Optuna in its functions

    ledger.require_optuna()
    config = config_words.read_config([f"--config={args.config}", *args.fields])
    from colorjax.tune import request as requests  # these import JAX: not for --help
    from colorjax.tune import run, space

    photos = config.total_steps * config.batch_size if args.photos is None else args.photos
    request = requests.Request(
        config,
        space.read_space(args.space, config),
        metric=args.metric or config.early_stopping.metric or "mae_ab",
        photos=photos,
        minutes=args.minutes,
        evaluations=args.evaluations,
        patience=args.patience,
        pruner=args.pruner,
        seed=args.seed,
    )
    request.check()
    try:
        found = run.tune(
            request,
            root,
            args.trials,
            storage=args.storage,
            name=args.study,
            time_limit=limit,
        )
    except Interrupted as error:
        print(f"colorjax: {error}", file=sys.stderr)
        return _STOPPED
    print(found.summary)
    for file in found.files:
        print(file)
    return 0
