"""What `import keras_clr` costs on top of `import keras`, by Python's own `-X importtime`.

python benchmarks/import_cost.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys


def added_milliseconds() -> float:
    """Time spent in keras_clr's own modules and in what they load that Keras had not."""
    code = "import keras; import keras_clr"
    command = [sys.executable, "-X", "importtime", "-c", code]
    log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    # Lines read "import time: self [us] | cumulative | name", children before parents.
    for line in reversed(log.splitlines()):
        if line.startswith("import time:") and line.rsplit("|", 1)[1].strip() == "keras_clr":
            return int(line.split("|")[1]) / 1000
    raise RuntimeError("keras_clr is not in the log of -X importtime")


def main() -> None:
    """Prints the median over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    times = [added_milliseconds() for _ in range(max(1, parser.parse_args().rounds))]
    print(
        f"import keras_clr adds {statistics.median(times):.1f} ms to import keras "
        f"(median of {len(times)}; {min(times):.1f} to {max(times):.1f} ms)"
    )


if __name__ == "__main__":
    main()
