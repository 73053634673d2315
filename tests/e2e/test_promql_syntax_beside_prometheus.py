"""Debian's Prometheus reads what we read: what is PromQL, what is none, and how it is laid out.

It is version 2.42; `newer` tells what 3.x may take in addition.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.prometheus import PrometheusProcess

from tocsin.promql.parse import ParseError, parse
from tocsin.promql.text import pretty

pytestmark = pytest.mark.process

EXAMPLES = 3_000
WORD = re.compile(r"""\s*("[^"]*"|'[^']*'|`[^`]*`|[\w.:]+|=~|!~|==|!=|>=|<=|\S)""")
GIVEN = (
    "sum by (job, b) (rate(http_requests_total{code=~'5..',job!~`x|y`,}[5m] offset -1h)) / 2 ^ -0x1F",
    "a > bool on (b) group_left (c) topk(3, x @ start()) or max_over_time((b - 1000)[1h:30s] @ 1.5)",
    '{__name__="my.metric", c="\\xc3\\xa9\\u00e9\\n"} + d unless ignoring () e[1w2d]',
    'label_replace(a, "b", "c", "d", "e") atan2 -vector(time()) % scalar(b) and on() absent(c[5m:]) == +Inf',
    'count_values without (x) ("v",min(a) by (c)) <= bool quantile(.5, sum) * NaN - histogram_quantile(.9, by{on="x"})',
    'label_join(a, "b", ",", "c", "d") != day_of_month() + round(a, 0.5) >= 5. or (1 < bool 2) * (a[5m:1m] offset 5m)',
)
NEWER = re.compile(
    r"""
    [{,(]\s*["'`]                             # names in quotes
    | \b(?i:inf|nan)\b\s*[,)]                 # these as labels
    | [\[:]\s*[\d.]+(?:e\d+)?\s*[]:]          # ranges and steps in seconds
    | offset\s*[-+]?\s*[\d.]                  # offsets too
    | @\s*[-+]?\s*\d\w*[smhdwy]               # and moments
    | (?<![\w\["'.])[\d.]+(?:ms|[smhdwy])     # durations as numbers
    """,
    re.VERBOSE,
)


def newer(text: str) -> bool:
    """Whether 3.x may take what was refused."""
    return NEWER.search(text) is not None


def damaged(chance: random.Random) -> str:
    """Some words of an expression, a few of them gone, changed or put in."""
    words = WORD.findall(chance.choice(GIVEN))
    if chance.random() < 0.6:
        start = chance.randrange(len(words))
        words = words[start : start + chance.randint(1, 14)]
    for _ in range(chance.randint(0, 2)):
        at, other = chance.randrange(len(words) + 1), chance.choice(WORD.findall(chance.choice(GIVEN)))
        words[at : at + chance.randint(0, 1)] = [other] * chance.randint(0, 1)
    return " ".join(words)


def laid_out(text: str) -> str | None:
    try:
        return pretty(parse(text))
    except ParseError:
        return None


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("prometheus") / "peer"
    with PrometheusProcess(folder, receiving=True) as process:
        process.wait_until_ready()
        with httpx.Client(base_url=f"http://{process.address}", trust_env=False, timeout=20.0) as client:
            yield client


def test_the_same_is_taken_and_laid_out_alike(theirs: httpx.Client) -> None:
    chance, taken = random.Random(4), 0
    for _ in range(EXAMPLES):
        text = damaged(chance)
        if not text:
            continue
        answer, ours = theirs.post("/api/v1/format_query", data={"query": text}).json(), laid_out(text)
        assert ours == answer.get("data") or ("data" not in answer and newer(text)), text
        taken += "data" in answer
    assert taken > EXAMPLES / 20
