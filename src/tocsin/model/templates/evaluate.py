"""A template's tree and its data to text.

Source: Go's text/template, exec.go, with the option missingkey=zero that Prometheus sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tocsin.model.templates.errors import CallError, TemplateError
from tocsin.model.templates.formatting import shown
from tocsin.model.templates.functions import Function, Takes, field
from tocsin.model.templates.limits import DEPTH_MAX, OUTPUT_MAX, STEPS_MAX
from tocsin.model.templates.tree import (
    Action,
    Branch,
    BranchKind,
    Chain,
    Command,
    Dot,
    Include,
    Leave,
    Literal,
    Node,
    Operand,
    Pipeline,
    Span,
    Template,
    Text,
    Variable,
    Word,
)
from tocsin.model.templates.values import Moment, Record, TemplateSample, TemplateValue, is_true, type_name

_SHORT = {"and": False, "or": True}
SHORT_CIRCUIT = frozenset(_SHORT)
"""Functions that stop at the first argument that decides."""


def evaluate(template: Template, name: str, data: TemplateValue, functions: Mapping[str, Function]) -> str:
    """Raises TemplateError, its message as Go writes it: name, line and column, what was run, why it failed."""
    run = _Run(template, name, functions)
    run.nodes(template.nodes, data, [("$", data)])
    return "".join(run.out)


class _LeftError(Exception):
    """`break` or `continue`, on its way to its `range`."""

    def __init__(self, again: bool) -> None:
        self.again = again


_NOTHING = object()


class _Run:
    def __init__(self, template: Template, name: str, functions: Mapping[str, Function]) -> None:
        self.out: list[str] = []
        self._template = template
        self._name = name
        self._functions = functions
        self._steps = 0
        self._size = 0
        self._depth = 0
        self._variables: list[tuple[str, TemplateValue]] = []

    def nodes(self, nodes: Sequence[Node], dot: TemplateValue, variables: list[tuple[str, TemplateValue]]) -> None:
        """With variables of its own: those of the one around do not reach in."""
        outer, self._variables = self._variables, variables
        self._block(nodes, dot)
        self._variables = outer

    def _block(self, nodes: Sequence[Node], dot: TemplateValue) -> None:
        known = len(self._variables)
        for node in nodes:
            self._count(node.span)
            self._node(node, dot)
        del self._variables[known:]

    def _node(self, node: Node, dot: TemplateValue) -> None:
        match node:
            case Text():
                self._write(node.text, node.span)
            case Action():
                value = self._pipeline(node.pipeline, dot)
                if not node.pipeline.variables:
                    self._write("<no value>" if value is None else shown(value), node.span)
            case Branch(kind=BranchKind.RANGE):
                self._range(node, dot)
            case Branch():
                self._choose(node, dot)
            case Include():
                self._include(node, dot)
            case Leave():
                raise _LeftError(node.again)

    def _choose(self, node: Branch, dot: TemplateValue) -> None:
        known = len(self._variables)
        value = self._pipeline(node.pipeline, dot)
        if is_true(value):
            self._block(node.then, value if node.kind is BranchKind.WITH else dot)
        else:
            self._block(node.otherwise, dot)
        del self._variables[known:]

    def _range(self, node: Branch, dot: TemplateValue) -> None:
        known = len(self._variables)
        pipeline = node.pipeline
        over = self._pipeline(pipeline, dot, binds=False)
        empty = True
        for key, value in self._each(over, pipeline.span):
            empty = False
            self._count(node.span)
            names = pipeline.variables
            pairs = zip(names, (key, value) if len(names) == 2 else (value,), strict=False)
            for name, bound in pairs:
                self._bind(name, bound, pipeline)
            try:
                self._block(node.then, value)
            except _LeftError as left:
                if not left.again:
                    break
            finally:
                del self._variables[known:]
        if empty:
            self._block(node.otherwise, dot)

    def _each(self, over: TemplateValue, span: Span) -> Iterator[tuple[TemplateValue, TemplateValue]]:
        match over:
            case tuple():
                yield from enumerate(over)
            case Mapping():
                yield from ((key, over[key]) for key in sorted(over))
            case None:
                return
            case int() if not isinstance(over, bool):
                yield from ((at, at) for at in range(over))
            case _:
                raise self._error(span, f"range can't iterate over {shown(over)}")

    def _include(self, node: Include, dot: TemplateValue) -> None:
        nodes = self._template.defined.get(node.name)
        if nodes is None:
            raise self._error(node.span, f'template "{node.name}" not defined')
        given = None if node.pipeline is None else self._pipeline(node.pipeline, dot)
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._error(node.span, f"templates call one another more than {DEPTH_MAX} deep")
        self.nodes(nodes, given, [("$", given)])
        self._depth -= 1

    def _pipeline(self, pipeline: Pipeline, dot: TemplateValue, *, binds: bool = True) -> TemplateValue:
        value: object = _NOTHING
        for command in pipeline.commands:
            self._count(command.span)
            value = self._command(command, dot, value)
        made: TemplateValue = value  # type: ignore[assignment]
        if binds:
            for name in pipeline.variables:
                self._bind(name, made, pipeline)
        return made

    def _bind(self, name: str, value: TemplateValue, pipeline: Pipeline) -> None:
        if not pipeline.assigns:
            self._variables.append((name, value))
            return
        at = next(at for at in reversed(range(len(self._variables))) if self._variables[at][0] == name)
        self._variables[at] = (name, value)

    def _command(self, command: Command, dot: TemplateValue, final: object) -> TemplateValue:
        first, *args = command.operands
        if isinstance(first, Word):
            return self._call(first, args, dot, final, command.span)
        if isinstance(first, Chain):
            return self._chain(first, dot, self._method_args(args, dot, final))
        if args or final is not _NOTHING:
            raise self._error(first.span, f"can't give argument to non-function {self._text(first.span)}")
        if isinstance(first, Literal) and first.value is None:
            raise self._error(first.span, "nil is not a command")
        return self._operand(first, dot)

    def _method_args(self, args: Sequence[Operand], dot: TemplateValue, final: object) -> tuple[TemplateValue, ...]:
        given = tuple(self._operand(arg, dot) for arg in args)
        return given if final is _NOTHING else (*given, final)  # type: ignore[arg-type]

    def _operand(self, operand: Operand, dot: TemplateValue) -> TemplateValue:
        self._count(operand.span)
        match operand:
            case Literal():
                return operand.value
            case Dot():
                return dot
            case Variable():
                return next(value for name, value in reversed(self._variables) if name == operand.name)
            case Word():
                return self._call(operand, (), dot, _NOTHING, operand.span)
            case Chain():
                return self._chain(operand, dot, ())
            case Pipeline():
                return self._pipeline(operand, dot)

    def _chain(self, chain: Chain, dot: TemplateValue, args: tuple[TemplateValue, ...]) -> TemplateValue:
        value = self._operand(chain.of, dot)
        for name in chain.fields[:-1]:
            value = self._field(chain, value, name, ())
        return self._field(chain, value, chain.fields[-1], args)

    def _field(self, chain: Chain, value: TemplateValue, name: str, args: tuple[TemplateValue, ...]) -> TemplateValue:
        match value:
            case TemplateSample() | Moment():
                try:
                    return field(value, name, args)
                except CallError as error:
                    if str(error) != name:
                        raise self._error(chain.span, f"error calling {name}: {error}") from error
            case Record() if name in value.fields and not args:
                return value.fields[name]
            case Mapping() if not args:
                return value.get(name, None if type_name(value) != "map[string]string" else "")
            case None:
                raise self._error(chain.span, f"nil data; no entry for key {name!r}")
        if args and isinstance(value, Mapping | Record):
            raise self._error(chain.span, f"{name} has arguments but cannot be invoked as function")
        raise self._error(chain.span, f"can't evaluate field {name} in type {type_name(value)}")

    def _call(
        self, word: Word, args: Sequence[Operand], dot: TemplateValue, final: object, span: Span
    ) -> TemplateValue:
        if word.name in _SHORT:
            return self._short(word, args, dot, final)
        function = self._functions[word.name]
        given = len(args) + (final is not _NOTHING)
        if given < len(function.takes) or (function.more is None and given > len(function.takes)):
            least = "at least " if function.more is not None else ""
            raise self._error(
                word.span, f"wrong number of args for {word.name}: want {least}{len(function.takes)} got {given}"
            )
        values: list[TemplateValue] = []
        for at, arg in enumerate(args):
            takes = function.takes[at] if at < len(function.takes) else function.more
            values.append(self._argument(arg, takes or Takes.ANY, dot))
        if final is not _NOTHING:
            takes = function.takes[len(args)] if len(args) < len(function.takes) else function.more
            values.append(self._checked(final, takes or Takes.ANY, word.span))  # type: ignore[arg-type]
        try:
            result = function.run(*values)
        except CallError as error:
            raise self._error(span, f"error calling {word.name}: {error}") from error
        if isinstance(result, str) and len(result) > OUTPUT_MAX:
            raise self._error(span, f"error calling {word.name}: the text is longer than {OUTPUT_MAX} characters")
        return result

    def _short(self, word: Word, args: Sequence[Operand], dot: TemplateValue, final: object) -> TemplateValue:
        if not args and final is _NOTHING:
            raise self._error(word.span, f"wrong number of args for {word.name}: want at least 1 got 0")
        value: object = final
        for arg in args:
            value = self._operand(arg, dot)
            if is_true(value) is _SHORT[word.name]:
                return value
        return value if final is _NOTHING else final  # type: ignore[return-value]

    def _argument(self, arg: Operand, takes: Takes, dot: TemplateValue) -> TemplateValue:
        if isinstance(arg, Literal) and not takes.fits(arg.value):
            if arg.value is None:
                raise self._error(arg.span, f"cannot assign nil to {takes}")
            raise self._error(arg.span, f"expected {takes}; found {self._text(arg.span)}")
        return self._checked(self._operand(arg, dot), takes, arg.span)

    def _checked(self, value: TemplateValue, takes: Takes, span: Span) -> TemplateValue:
        if not takes.fits(value):
            raise self._error(span, f"wrong type for value; expected {takes}; got {type_name(value)}")
        return value

    def _write(self, text: str, span: Span) -> None:
        self._size += len(text)
        if self._size > OUTPUT_MAX:
            raise self._error(span, f"the text is longer than {OUTPUT_MAX} characters")
        self.out.append(text)

    def _count(self, span: Span) -> None:
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise self._error(span, f"the template takes more than {STEPS_MAX} steps")

    def _text(self, span: Span) -> str:
        return self._template.text[span.start : span.end]

    def _error(self, span: Span, message: str) -> TemplateError:
        before = self._template.text[: span.start]
        line, column = before.count("\n") + 1, len(before.rpartition("\n")[2].encode("utf-8", "replace"))
        where = f"template: {self._name}:{line}:{column}"
        quoted = self._name.replace("\\", "\\\\").replace('"', '\\"')
        return TemplateError(f'{where}: executing "{quoted}" at <{self._text(span)}>: {message}', span.start)
