"""Settings of JAX that a program chooses before it computes."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

from colorjax.errors import RequestError


def use_compilation_cache(folder: str) -> None:
    """Keeps compiled programs from one start to the next.

    Args:
        folder: where; "auto": in the user's cache folder; "off": nowhere. In it a folder of the
            versions, since programs of other versions have crashed. Without leave to write there
            is no cache. What JAX's own environment variable names counts before "auto".
    """
    if folder == "off" or (folder == "auto" and os.environ.get("JAX_COMPILATION_CACHE_DIR")):
        return
    import jax
    import jaxlib

    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(cache, "colorjax", "compiled") if folder == "auto" else Path(folder)
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


def hush_libraries() -> None:
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


def end_at_once(status: int) -> NoReturn:
    """Ends the process without the last words of libraries, which would hide what was said.

    Where a disk is full every thread that writes to it ends with a traceback of its own.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
