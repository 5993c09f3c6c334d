"""Trains or evaluates a model: `colorjax train --config=NAME --workdir=DIR`.

`python -m colorjax.main` is the same; `colorjax eval` is `--mode=eval`.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path

from colorjax.runtime import signals

if __name__ == "__main__":
    signals.exit_as_stopped()  # before the slow imports

from absl import flags
from ml_collections import ConfigDict, config_flags

from colorjax import config as config_files
from colorjax.errors import STOPPED, WRONG_REQUEST, Interrupted, RequestError
from colorjax.runtime import durations, jax_setup, waiting
from colorjax.runtime.file_names import printable

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Name of a config, a FILE.py or the config.json of a run; arguments as NAME:key=value,...",
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; default: runs/CONFIG.")
_MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "eval", "compile"],
    "What to do. compile: report the memory and FLOPs of a step, without training.",
)
_SUITE = flags.DEFINE_string(
    "suite",
    "",
    "With mode=eval: a protocol of `colorjax evaluate`, run on data.eval_path or else data.path.",
)
_DISTRIBUTED = flags.DEFINE_string(
    "distributed",
    "off",
    "Multi-process training: auto (Cloud TPU, GKE, SLURM, Open MPI), off, or ADDRESS,COUNT,INDEX.",
)
_TIME_LIMIT = flags.DEFINE_string(
    "time_limit", "", "Save and exit with status 75 after this time, such as 55m or 1h30m."
)
_PROFILE = flags.DEFINE_string(
    "profile",
    "",
    "START:STOP: trace these steps into WORKDIR/profile, for TensorBoard and Perfetto.",
)
_DEVICES = flags.DEFINE_integer(
    "devices", 0, "With mode=compile: number of devices to simulate; 0: use the real devices.", 0
)
_TOPOLOGY = flags.DEFINE_string(
    "topology", "", "With mode=compile: compile for a TPU such as v5e:2x2; needs libtpu but no TPU."
)
_MEMORY = flags.DEFINE_string(
    "memory", "", "With mode=compile: memory of a device, such as 16GiB; default: as it reports."
)
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    "auto",
    "Folder for compiled programs; auto: one per version in the user's cache folder; off: none.",
)


def run(argv: list[str] | None = None) -> int:
    """Trains or evaluates as the flags say; returns the exit status."""
    argv = sys.argv if argv is None else argv
    if {"--help", "-h", "-help"} & set(argv):
        print(f"{__doc__}\n\n{flags.FLAGS.module_help(sys.modules[__name__])}")
        print(f"\nConfigs: {', '.join(config_files.names())}.")
        print(f"--config.FIELD=VALUE sets a field; {config_files.folder()}/default.py lists them.")
        return 0
    workdir = ""
    try:
        config, workdir = _read_flags(argv)
        jax_setup.log_to_stderr()
        with jax_setup.device_errors():
            return _act(config, workdir)
    except RequestError as error:
        return _exit_with(
            WRONG_REQUEST, str(error), at_once=error.__cause__ is not None
        )  # failed save
    except Interrupted as error:
        return _exit_with(STOPPED, str(error))
    except KeyboardInterrupt:
        return _exit_with(STOPPED, "stopped by a signal; run the same command again")
    except Exception as error:
        if not _is_of_writing(error, workdir):
            raise
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        path = getattr(error, "filename", None) or workdir
        message = (
            f"{path} cannot be written ({reason}). Make room "
            "or give another --workdir; the same command resumes from the newest saved step"
        )
        return _exit_with(WRONG_REQUEST, message, at_once=True)


def _exit_with(status: int, message: str, *, at_once: bool = False) -> int:
    """Prints why the program ends; in multi-process runs skips JAX's shutdown barrier.

    The barrier would hang, because the other processes never reach it.
    """
    print(f"colorjax: {printable(message)}", file=sys.stderr)
    jax = sys.modules.get("jax")
    if at_once or (jax and jax.distributed.is_initialized()):
        jax_setup.exit_now(status)
    return status


def _is_of_writing(error: Exception, workdir: str) -> bool:
    """Returns whether the error means a full disk or a workdir that is not writable."""
    if type(error).__module__.startswith("gcsfs"):  # any error of a bucket
        return True
    if not isinstance(error, OSError):
        return False
    path = error.filename if isinstance(error.filename, str) else ""
    inside = bool(workdir) and path.startswith(os.path.abspath(os.path.expanduser(workdir)))
    return error.errno in _NO_ROOM or (inside and error.errno in _NO_PERMISSION)


def _act(config: ConfigDict, workdir: str) -> int:
    if _MODE.value != "compile" and (_DEVICES.value or _TOPOLOGY.value or _MEMORY.value):
        raise RequestError("--devices, --topology and --memory are for --mode=compile")
    if _SUITE.value and _MODE.value != "eval":
        raise RequestError("--suite is for --mode=eval")
    time_limit = durations.parse_duration(_TIME_LIMIT.value) if _TIME_LIMIT.value else None
    jax_setup.use_compilation_cache(_CACHE.value)
    if _MODE.value == "compile":
        from colorjax.train import compile_check

        if _TOPOLOGY.value:
            return compile_check.report(
                config, _MEMORY.value, jax_setup.tpu_devices(_TOPOLOGY.value)
            )
        jax_setup.simulate_devices(_DEVICES.value)
        return compile_check.report(config, _MEMORY.value)
    if _SUITE.value:
        return _run_suite(config, workdir, time_limit)
    with waiting.phase("loading libraries"):
        from colorjax.parallel import hosts  # slow imports, so after the flags are checked
        from colorjax.parallel import mesh as parallel

        hosts.connect(_DISTRIBUTED.value)
        from colorjax.train import loop
        from colorjax.train import report as train_report
        from colorjax.train.log import profiling
    if not parallel.is_first():
        logging.getLogger("colorjax").setLevel(logging.WARNING)

    if _MODE.value == "eval":
        status = train_report.evaluate_only(config, workdir, time_limit=time_limit)
    else:
        span = profiling.parse_steps(_PROFILE.value)
        status = loop.train_and_evaluate(config, workdir, time_limit=time_limit, profile=span)
    hosts.disconnect()
    return status


def _run_suite(config: ConfigDict, workdir: str, time_limit: float | None) -> int:
    if _PROFILE.value or _DISTRIBUTED.value != "off":
        raise RequestError("--suite runs on one device; leave out --profile and --distributed")
    from colorjax import evaluate
    from colorjax.evaluate import protocols

    # data.path would be the training photos here.
    of_folder = protocols.find(_SUITE.value).data == "folder"
    data = config.data.eval_path or ("" if of_folder else config.data.path)
    if not data:
        raise RequestError("--suite needs test photos; set --config.data.eval_path=FOLDER")
    output = str(Path(workdir) / "suites" / _SUITE.value)
    size = config.data.image_size if of_folder else 0
    return evaluate.run_and_print(
        evaluate.Request([workdir], _SUITE.value, data, output, size=size, renew=True), time_limit
    )


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR)


def _read_flags(argv: list[str]) -> tuple[ConfigDict, str]:
    argv = config_files.with_file(argv)
    with config_files.one_line_errors(argv):
        rest = flags.FLAGS(argv)[1:]
        config = _CONFIG.value
        if config is not None:
            _ = config.total_steps  # a missing file raises on first access
    if rest:
        raise RequestError(f"unexpected argument {rest[0]!r}; flags look like --name=value")
    if config is None:
        raise RequestError(
            f"{config_files.NO_CONFIG}; there are: {', '.join(config_files.names())}"
        )
    workdir = _WORKDIR.value or ""
    if not workdir and _MODE.value != "compile":
        name = Path(config_files.path_of(argv)).stem
        if name == "from_json":
            raise RequestError("give --workdir: a new folder, or the run's own to resume it")
        workdir = str(Path("runs") / name)
        print(f"colorjax: no --workdir given, using {printable(workdir)}", file=sys.stderr)
    return config, workdir


if __name__ == "__main__":
    sys.exit(run())
