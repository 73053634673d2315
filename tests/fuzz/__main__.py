"""`python -m tests.fuzz NAME [SECONDS]`: coverage-guided fuzzing of one parser; without a name, the names.

What it finds is written to `.fuzz/NAME/`; make a test of it in tests/fuzz/test_known.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["tocsin.ingest", "tocsin.api.bodies", "tocsin.model", "tocsin.promql", "tocsin.rules"]
):
    from tests.fuzz.targets import TARGETS

from tocsin.model.errors import LimitError, UserError

MEMORY_MAX_MB = 1_024
INPUT_SECONDS_MAX = 10
INPUT_BYTES_MAX = 65_536


def main() -> None:
    if len(sys.argv) < 2:
        print(*TARGETS, sep="\n")
        return
    if sys.argv[1] not in TARGETS:
        raise SystemExit(f"There is no target {sys.argv[1]!r}; there are {', '.join(TARGETS)}.")
    name, seconds = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "600"
    folder = Path(".fuzz") / name
    seeds = folder / "seeds"
    seeds.mkdir(parents=True, exist_ok=True)
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds):
        (seeds / f"seed-{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        try:
            target.run(data)
        except (UserError, LimitError):
            return  # refused, as it may be

    options = [
        f"-max_total_time={seconds}",
        f"-rss_limit_mb={MEMORY_MAX_MB}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
