"""Builds the browser page: a folder for any static web server, without a program behind it.

make browser                                  -> build/browser
python -m http.server --directory build/browser
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from colorjax.color import NUM_BINS
from colorjax.inference.engines.jax import facts_of
from colorjax.inference.working_size import WorkingSize
from colorjax.weights import named
from colorjax.weights.onnx import write
from colorjax.weights.open import open_weights

PACKAGE = "onnxruntime-web@1.30.0"
FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
HERE = Path(__file__).parent
COLOR = HERE.parents[1] / "colorjax/serve/static/color.js"


def build(output: Path, weights: str, stored_as: str) -> None:
    """Writes the page, its script, ONNX Runtime Web from npm and the model into a folder."""
    output.mkdir(parents=True, exist_ok=True)
    for file in (HERE / "index.html", HERE / "colorize.js", COLOR):
        shutil.copy(file, output)
    if not all((output / name).exists() for name in FILES):
        fetch_runtime(output)
    opened = open_weights(weights)
    size = WorkingSize.from_config(opened.config, facts_of(opened.method))
    (output / "model.onnx").write_bytes(write.onnx_bytes(opened, write.Export(None, stored_as)))
    about = {"side": size.side, "multiple": size.multiple, "palette": NUM_BINS + 2}
    (output / "model.json").write_text(json.dumps(about | {"weights": weights}))


def fetch_runtime(output: Path) -> None:
    """Downloads ONNX Runtime Web from npm and unpacks the files that the page needs."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as tar:
            for name in FILES:
                member = tar.extractfile(f"package/dist/{name}")
                assert member is not None
                (output / name).write_bytes(member.read())


def main() -> None:
    """Reads the arguments and builds the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/browser"))
    parser.add_argument("--weights", default=named.DEFAULT)
    parser.add_argument("--stored-as", choices=write.STORED_AS, default="float16")
    args = parser.parse_args()
    build(args.output, args.weights, args.stored_as)
    print(f"{args.output}: serve it with: python -m http.server --directory {args.output}")


if __name__ == "__main__":
    main()
