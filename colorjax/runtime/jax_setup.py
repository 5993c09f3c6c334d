"""JAX configuration at program start: caches, devices, logging."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from colorjax.errors import RequestError
from colorjax.runtime import paths
from colorjax.runtime.file_names import printable

if TYPE_CHECKING:
    import jax

# Seconds of compilation. JAX's default is 1, which leaves out the programs that paint a photo.
_WORTH_CACHING = 0.05


def check_installed() -> None:
    """Raises a RequestError if JAX is not installed (docs/engines.md, "Without JAX")."""
    if importlib.util.find_spec("jax") is None:
        raise RequestError(
            "JAX is not installed; give --engine onnx --checkpoint FILE.onnx, written by "
            "`colorjax export` on another machine, or install JAX: pip install jax flax"
        )


def use_compilation_cache(folder: str) -> None:
    """Enables JAX's persistent compilation cache.

    Args:
        folder: parent folder of the cache; "auto": the user's cache folder; "off": no cache.
            Each pair of JAX versions has its own subfolder, because programs compiled by other
            versions have crashed. With "auto", a folder that is not writable disables the cache,
            and a cache folder already configured in JAX (for example by its environment variable)
            takes precedence.

    Raises:
        RequestError: a given folder is not writable.
    """
    if folder == "off":
        return
    check_installed()
    import jax
    import jaxlib

    if folder == "auto" and jax.config.values["jax_compilation_cache_dir"]:
        return

    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(cache, "colorjax", "compiled") if folder == "auto" else paths.local(folder)
    cache_folder = root.expanduser().resolve() / f"jax-{jax.__version__}-{jaxlib.__version__}"
    try:
        cache_folder.mkdir(
            parents=True, exist_ok=True, mode=0o700
        )  # private: it holds executable code
    except OSError as error:
        if folder != "auto":
            raise RequestError(
                f"--compilation_cache={folder} cannot be written ({error.strerror}); give another "
                "folder, or off"
            ) from None
        return
    jax.config.update("jax_compilation_cache_dir", str(cache_folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_CACHING)


def require_devices() -> None:
    """Initializes JAX's devices.

    Raises:
        RequestError: JAX cannot start the devices that JAX_PLATFORMS names.
    """
    import jax

    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:  # AssertionError: JAX has no plug-in for them
        platforms = jax.config.values["jax_platforms"]
        cause = f"JAX_PLATFORMS={platforms}: " if platforms else ""
        reason, *_ = (str(error) or "JAX has no plug-in for them").splitlines()
        raise RequestError(
            f"{cause}these devices cannot be used ({reason.partition(' (set')[0][:200]}); set "
            "JAX_PLATFORMS=cpu to run on the CPU, or install their support, such as "
            "pip install 'colorjax[cuda]'"
        ) from None


@contextlib.contextmanager
def device_errors() -> Iterator[None]:
    """Turns JAX's error for missing devices into a RequestError; see `require_devices`."""
    try:
        yield
    except (AssertionError, RuntimeError):
        require_devices()
        raise


def simulate_devices(number: int) -> None:
    """Simulates a number of devices on the CPU; 0: no simulation.

    Raises:
        RequestError: JAX has already initialized its devices.
    """
    if not number:
        return
    import jax

    try:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", number)
    except RuntimeError as error:
        raise RequestError(f"--devices={number}: {str(error).splitlines()[0]}") from None


def tpu_devices(topology: str) -> Sequence[jax.Device]:
    """Returns the devices of a TPU topology to compile for; libtpu describes them without hardware.

    Args:
        topology: generation and shape, such as "v5e:2x2" or "v6e:8x8".

    Raises:
        RequestError: libtpu is not installed or does not know the topology.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise RequestError(f"--topology={topology} needs a package: pip install 'jax[tpu]'")
    # Otherwise libtpu queries the metadata server of a cloud machine.
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}
    import jax
    from jax.experimental import topologies

    jax.config.update("jax_platforms", "cpu")
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except Exception as error:  # XLA's types differ between versions
        raise RequestError(
            f"--topology={topology}: {str(error).splitlines()[0][:200]}; give generation and "
            "shape, such as v5e:2x2"
        ) from None


def quiet_library_logs() -> None:
    """Limits library logs, which use absl, to warnings; drops JAX's warning about missing TPUs."""
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.WARNING)
    # We report a failed save in one line; these two loggers print a traceback for each part.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    logging.getLogger("absl").addFilter(
        lambda record: "orbax" not in record.pathname or record.exc_info is None
    )
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _print_unraisable
    logging.getLogger("jax._src.xla_bridge").addFilter(
        lambda record: "Unable to initialize backend 'tpu'" not in record.getMessage()
    )


def _print_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Prints an exception that no code can catch, but not those after a failed save or restore.

    TensorStore reports each array to an event loop that Orbax closed at the first error, and Orbax
    reads the other arrays in coroutines that nobody awaits any more.
    """
    code = getattr(unraisable.object, "cr_code", None)
    is_of_orbax = code is not None and "orbax" in code.co_filename
    if str(unraisable.exc_value) != "Event loop is closed" and not is_of_orbax:
        sys.__unraisablehook__(unraisable)


class _OneLine(logging.Formatter):
    """Formats a message as one line, whatever the file names in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


class _AboveTheBar(logging.Handler):
    """Logging handler that prints to stderr without disturbing the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stderr)


def log_to_stderr() -> None:
    """Logs colorjax's messages to stderr, and only warnings of the libraries."""
    quiet_library_logs()
    handler = _AboveTheBar()
    handler.setFormatter(_OneLine("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("colorjax")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def exit_now(status: int) -> NoReturn:
    """Exits without running library shutdown code, whose output would hide the error message.

    On a full disk, every thread that writes to it would otherwise print its own traceback.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
