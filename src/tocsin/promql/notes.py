"""Annotations: what an answer is accompanied by. They change no number."""

from __future__ import annotations

from tocsin.promql.ast import Span

SHOWN_MAX = 10
"""Of each kind, as many are told; how many more there are is told too."""


class Notes:
    """Warnings and infos of one query, each once, with the place in the text that they are about."""

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._warnings: dict[str, None] = {}
        self._infos: dict[str, None] = {}

    def warn(self, sentence: str, span: Span | None = None) -> None:
        self._warnings.setdefault(self._placed(sentence, span))

    def info(self, sentence: str, span: Span | None = None) -> None:
        self._infos.setdefault(self._placed(sentence, span))

    @property
    def warnings(self) -> tuple[str, ...]:
        return _shown(self._warnings, "warning")

    @property
    def infos(self) -> tuple[str, ...]:
        return _shown(self._infos, "info")

    def _placed(self, sentence: str, span: Span | None) -> str:
        if span is None:
            return sentence
        line = self._text.count("\n", 0, span.start) + 1
        column = span.start - self._text.rfind("\n", 0, span.start)
        return f"{sentence} ({line}:{column})"


def _shown(all_: dict[str, None], kind: str) -> tuple[str, ...]:
    shown = tuple(all_)[:SHOWN_MAX]
    more = len(all_) - len(shown)
    return (*shown, f"{more} more {kind} annotations omitted") if more else shown
