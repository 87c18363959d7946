from __future__ import annotations

import subprocess
import sys


def test_importing_statistics_imports_neither_torch_nor_transformers() -> None:
    modules = [
        "accuracy",
        "agreement",
        "bootstrap",
        "calibration",
        "choice",
        "controls",
        "differences",
        "estimate",
        "fit",
        "gold",
        "least_squares",
        "linear",
        "multiplicity",
        "over_seeds",
        "paired",
        "pooled",
        "ranking",
        "regression",
        "rms",
        "seeds",
        "shares",
    ]
    lines = [
        *(f"import harness.stats.{m}" for m in modules),
        "import sys",
        "print({'torch','transformers'} & {*sys.modules})",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
