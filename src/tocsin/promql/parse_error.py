"""What is said where a text is no PromQL."""

from __future__ import annotations

from tocsin.model.errors import UserError


class ParseError(UserError):
    """`line` and `column` count from 1, in characters; the sentence begins with them, as Prometheus' do."""

    def __init__(self, sentence: str, text: str, at: int) -> None:
        self.line = text.count("\n", 0, at) + 1
        self.column = at - text.rfind("\n", 0, at)
        super().__init__(f"{self.line}:{self.column}: parse error: {sentence}")
