"""Damages many files: `python tests/helpers/photos/fuzz.py COUNT SEED FIRST`; a crash ends it.

The number of the case at hand goes to a file, so that a crash can be told and repeated.
"""

import collections
import faulthandler
import json
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np


def main(count, seed, first, progress):
    from helpers.photos import damage

    files = damage.originals()
    tally, failures = collections.Counter(), []
    for case in range(first, count):
        rng = np.random.default_rng((seed, case))
        name, data, kind = files[rng.integers(len(files))]
        progress.write_text(f"{case} {name}")
        try:
            tally[damage.survives(damage.damaged(data, rng), kind)] += 1
        except Exception:
            failures.append({"case": case, "name": name, "error": traceback.format_exc()[-1500:]})
    print(json.dumps({"tally": tally, "failures": failures}))


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3])]
    faulthandler.enable()
    warnings.simplefilter("ignore")
    main(*(int(text) for text in sys.argv[1:4]), Path(sys.argv[4]))
