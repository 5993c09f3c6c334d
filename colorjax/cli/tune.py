"""The command `colorjax tune`: searches over config fields."""

from __future__ import annotations

import argparse

from colorjax import config as config_files
from colorjax.cli import options
from colorjax.errors import RequestError
from colorjax.runtime import durations, paths
from colorjax.runtime.file_names import printable

DESCRIPTION = (
    "Trains a config many times with different values of some fields, selects by the metric of "
    "validation photos, and writes a report and the best config. Poor trials are pruned early. "
    "After a stop or crash, the same command continues."
)
EPILOG = """\
examples:
  colorjax tune --config=configs/plain_cnn.py --workdir=runs/knobs --trials 30 \\
      --minutes 1 --config.data.path=PHOTOS
  colorjax tune --config=configs/unet.py:width=0.25 --workdir=runs/unet-rate \\
      --space optimizer.learning_rate=log:1e-4..1e-2 --space batch_size=16,32,64 \\
      --photos 50000 --config.data.path=PHOTOS
  colorjax tune ... --storage=postgresql://USER@HOST/DB   on each of several machines
  python -m colorjax.main --config=runs/knobs/best.py --workdir=runs/best

spaces: FIELD=VALUE,VALUE,... FIELD=LOW..HIGH FIELD=log:LOW..HIGH; for tuples
(1,2),(2,2) or factors x0.5,x1; a file of such lines; six-knobs, the default for
plain_cnn: kernel size, filters, dropout, batch size, strides, and epochs by
early stopping. See docs/tune.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    options.add_config(parser, "folder of the study")
    parser.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="SPACE",
        help="field to search and its values; may be repeated",
    )
    parser.add_argument(
        "--trials",
        type=int,
        default=30,
        metavar="N",
        help="trials of the study (default: %(default)s)",
    )
    parser.add_argument(
        "--photos",
        type=int,
        metavar="N",
        help="training photos per trial, repetitions included (default: those of the config)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        metavar="M",
        help="maximum training time per trial (default: no limit)",
    )
    parser.add_argument(
        "--evaluations",
        type=int,
        default=10,
        metavar="N",
        help="evaluations per trial (default: %(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=int,
        default=3,
        metavar="N",
        help="end a trial after N evaluations without improvement; 0: never (default: %(default)s)",
    )
    parser.add_argument(
        "--metric", help="validation metric (default: that of the config, or mae_ab)"
    )
    parser.add_argument(
        "--pruner",
        default="median",
        metavar="NAME",
        help="rule that ends poor trials: median, halving or none (default: %(default)s)",
    )
    options.add_seed(parser, "seed of the search (default: 0)")
    parser.add_argument(
        "--storage",
        default="",
        metavar="URL",
        help="Optuna storage, for several machines, or journal:FILE (default: WORKDIR/study.db)",
    )
    parser.add_argument(
        "--study", default="tune", metavar="NAME", help="name of the study in the storage"
    )
    parser.add_argument(
        "--timeout", metavar="TIME", help="end with status 75 after this time, such as 55m"
    )
    parser.add_argument(
        "--config.FIELD",
        dest="config_field",
        metavar="VALUE",
        action=_Example,
        help="sets a field of the config for all trials, as --config.FIELD=VALUE",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    wrong = [arg for arg in args.fields if not arg.startswith("--config.") or "=" not in arg]
    if wrong:
        raise RequestError(f"unrecognized arguments: {wrong[0]}; see colorjax tune --help")
    if args.trials < 1:
        raise RequestError(f"--trials must be at least 1, not {args.trials}")

    limit = durations.parse_duration(args.timeout, "--timeout") if args.timeout else None
    root = paths.local(args.workdir)
    from colorjax.tune import ledger  # imports Optuna in its functions

    ledger.require_optuna()
    config = config_files.read_config([f"--config={args.config}", *args.fields])
    from colorjax.tune import request as requests  # these import JAX: not for --help
    from colorjax.tune import run, space

    photos = config.total_steps * config.batch_size if args.photos is None else args.photos
    request = requests.StudyRequest(
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
    result = run.tune(
        request,
        root,
        args.trials,
        storage=args.storage,
        name=args.study,
        time_limit=limit,
    )
    print(result.summary)
    for file in result.files:
        print(printable(file))
    return 0


class _Example(argparse.Action):
    """An entry of --help only: config fields are read elsewhere."""

    def __call__(self, parser, namespace, values, option_string=None):
        raise RequestError(
            "--config.FIELD stands for a config field; give, for example, --config.batch_size=32"
        )
