"""`python -m bench [NAME …]`: run benchmarks one after another and print their figures."""

from __future__ import annotations

import importlib
import sys

ALL = {
    "start": "from `tocsin serve` to ready, to the first chart point; idle CPU and memory",
    "push": "pushes and samples a second over HTTP, to durable acknowledgement",
    "remote_write": "Prometheus' remote write, beside Prometheus and VictoriaMetrics where they are installed",
    "queries": "PromQL over HTTP, beside Prometheus and VictoriaMetrics where they are installed",
    "rules": "rounds of 1,000 rules, of one series and of 4,000 series each",
    "week": "a week of 1,000 series at 5-minute steps: time and memory",
    "mail": "from a push to the e-mail server's acceptance",
    "hour": "resident memory after an hour of host readings",
    "store": "the sample store alone: inserts, reads, bytes a sample",
    "clickhouse": "the way to a ClickHouse server over HTTP, beside the engine inside",
    "codecs": "layouts and codecs of samples over real shapes; the whole store beside VictoriaMetrics",
    "index": "a million series: memory, loading, finding, and all of them new at once",
    "encryption": "what encryption costs: inserts, reads, bytes a sample, with and without",
    "retention": "clean-up of a day of samples, dropped and rewritten, while inserts go on",
    "arrival": "samples against rules",
    "host": "what reading the host costs",
    "backup": "both stores into a folder, read back, and restored",
    "adopt": "an older database into both stores",
}


def main() -> None:
    names = sys.argv[1:] or list(ALL)
    for name in names:
        if name not in ALL:
            print(
                f"There is no benchmark {name!r}; there are:",
                *(f"  {one:12} {what}" for one, what in ALL.items()),
                sep="\n",
            )
            raise SystemExit(2)
    for name in names:
        print(f"\n== {name}: {ALL[name]}", flush=True)
        importlib.import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main()
