"""Settings of JAX that a program chooses before it computes."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from colorjax.errors import RequestError
from colorjax.runtime import paths

if TYPE_CHECKING:
    import jax


def use_compilation_cache(folder: str) -> None:
    """Keeps compiled programs from one start to the next.

    Args:
        folder: where; "auto": in the user's cache folder; "off": nowhere. In it a folder of the
            versions, since programs of other versions have crashed. Without leave to write there
            is no cache. What JAX was told before, by its environment variable for one, counts
            before "auto".
    """
    if folder == "off":
        return
    import jax
    import jaxlib

    if folder == "auto" and jax.config.values["jax_compilation_cache_dir"]:
        return

    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(cache, "colorjax", "compiled") if folder == "auto" else paths.local(folder)
    place = root.expanduser().resolve() / f"jax-{jax.__version__}-{jaxlib.__version__}"
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)  # it is code that will be run
    except OSError as error:
        if folder != "auto":
            raise RequestError(
                f"--compilation_cache={folder} cannot be written ({error.strerror}); give another "
                "folder, or off"
            ) from None
        return
    jax.config.update("jax_compilation_cache_dir", str(place))


def simulate_devices(number: int) -> None:
    """Lets the CPU stand for so many devices; 0: no.

    Raises:
        RequestError: JAX has already counted its devices.
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
    """Returns the devices of a TPU to compile for; libtpu knows them, none has to be there.

    Args:
        topology: generation and shape, such as "v5e:2x2" or "v6e:8x8".

    Raises:
        RequestError: libtpu is not installed, or knows no such TPU.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise RequestError(f"--topology={topology} needs a package: pip install 'jax[tpu]'")
    # It would ask a cloud machine's metadata for its neighbours.
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}
    import jax
    from jax.experimental import topologies

    jax.config.update("jax_platforms", "cpu")
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except Exception as error:  # of XLA, and by version
        raise RequestError(
            f"--topology={topology}: {str(error).splitlines()[0][:200]}; give generation and "
            "shape, such as v5e:2x2"
        ) from None


def quiet_library_logs() -> None:
    """Leaves only the warnings of the libraries, which log through absl, and not JAX's on TPUs."""
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.WARNING)
    # A save that fails is told in one line; these two have a page for each of its parts.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    logging.getLogger("absl").addFilter(
        lambda record: "orbax" not in record.pathname or record.exc_info is None
    )
    logging.getLogger("jax._src.xla_bridge").addFilter(
        lambda record: "Unable to initialize backend 'tpu'" not in record.getMessage()
    )


class _AboveTheBar(logging.Handler):
    """Prints lines to stderr without tearing the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stderr)


def log_to_stderr() -> None:
    """Shows colorjax's own messages; of the libraries only warnings."""
    quiet_library_logs()
    handler = _AboveTheBar()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("colorjax")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def exit_now(status: int) -> NoReturn:
    """Ends the process without the last words of libraries, which would hide what was said.

    Where a disk is full every thread that writes to it ends with a traceback of its own.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
