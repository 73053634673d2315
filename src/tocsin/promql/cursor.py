"""The words of an expression, taken one by one, and what is said where another one was expected."""

from __future__ import annotations

from tocsin.promql import literals
from tocsin.promql.parse_error import ParseError
from tocsin.promql.tokens import Kind, Token, tokens


class Cursor:
    """Where a parser stands in the words of a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = tokens(text)
        self._at = 0
        self._next = self._words[0]

    def _take(self) -> Token:
        word = self._next
        if word.kind is not Kind.END:
            self._at += 1
            self._next = self._words[self._at]
        return word

    @property
    def _last_end(self) -> int:
        return self._words[self._at - 1].end

    def _is(self, *words: str) -> bool:
        """Whether a mark or keyword comes; keywords in any case."""
        return self._next.word in words

    def _taken(self, *words: str) -> Token | None:
        return self._take() if self._next.word in words else None

    def _expect(self, mark: str, where: str) -> Token:
        word = self._taken(mark)
        if word is None:
            raise self._unexpected(where, f'"{mark}"')
        return word

    def _unexpected(self, where: str = "", expected: str = "") -> ParseError:
        word = self._next
        if word.kind is Kind.WRONG:
            return self._error(word.described, word.start)
        where = f" in {where}" if where else ""
        expected = f", expected {expected}" if expected else ""
        return self._error(f"unexpected {word.described}{where}{expected}", word.start)

    def _error(self, sentence: str, at: int) -> ParseError:
        return ParseError(sentence, self._text, at)

    def end(self) -> None:
        """Raises ParseError where something is left."""
        word = self._next
        if word.kind is Kind.END:
            return
        if word.word in (")", "]"):
            shape = "parenthesis" if word.word == ")" else "bracket"
            raise self._error(f"unexpected right {shape} {word.text!r}", word.start)
        raise self._unexpected()

    def _value(self, word: Token) -> float:
        """A duration where a number is wanted is its seconds."""
        try:
            if word.kind is Kind.DURATION:
                return literals.duration_ms(word.text) / 1_000
            return literals.number(word.text)
        except (ValueError, OverflowError) as error:
            raise self._error(f"{error}", word.start) from error

    def _signed_number(self, where: str) -> float:
        signed = self._taken("-", "+")
        sign = -1.0 if signed is not None and signed.word == "-" else 1.0
        word = self._next
        if word.kind in (Kind.NUMBER, Kind.DURATION):
            return sign * self._value(self._take())
        if word.word in literals.SPECIAL:
            return sign * literals.SPECIAL[self._take().word]
        raise self._unexpected(where, "timestamp" if where == "@" else "number")

    def _string(self, word: Token) -> str:
        try:
            return literals.string(word.text)
        except ValueError as error:
            raise self._error(str(error), word.start) from error

    def _ms(self, word: Token) -> int:
        ms = self._value(word) * 1_000
        if ms > literals.DURATION_MS_MAX:
            raise self._error("duration out of range", word.start)
        return round(ms)
