import pytest

from tocsin.model.document import FaultError, Node, parse_yaml

WRITTEN = r"""
quoted: "x\ty \
   z\u00e9q \" \\ \x41!"
block: |
  sum by (job) (
    rate(x[5m])
  ) +
folded: >-
   folded text
   more

   para é +
plain: plain words
   over lines
single: 'it''s é here'
indented: |2-

   indented é
    more x
commented: | # why not
  up > 1
é: [é, xé +, &a up]
"""
DOCUMENT = parse_yaml(WRITTEN)


def scalars(node: Node) -> list[Node]:
    below = [*node.items, *(value for _, value in node.entries.values())]
    return [each for child in below for each in scalars(child)] if below else [node]


@pytest.mark.parametrize("node", scalars(DOCUMENT), ids=lambda node: node.place.path)
def test_every_character_of_a_scalar_is_found_where_it_was_written(node: Node) -> None:
    lines = WRITTEN.split("\n")
    for offset, char in enumerate(node.text):
        if char.isspace():
            continue
        place = node.place_of(offset)
        written = lines[place.line - 1][place.column - 1 :]
        assert written.startswith((char, f"\\{char}", "\\u00e9", "\\x41"))


def test_the_end_of_a_scalar_is_a_place_too() -> None:
    node = DOCUMENT.entries["quoted"][1]
    assert node.place_of(len(node.text)).line == 3


def test_what_has_no_source_stands_where_its_node_does() -> None:
    node = DOCUMENT.entries["quoted"][1]
    assert Node(node.kind, node.place, node.text).place_of(5) == node.place


LAUGHS = f"x: &a [{'1,' * 1000}]\ny: &b [{'*a,' * 1000}]\nz: [{'*b,' * 1000}]"


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, LAUGHS], ids=["brackets", "dashes", "aliases"])
def test_a_document_that_would_grow_without_end_is_refused(text: str) -> None:
    with pytest.raises(FaultError):
        parse_yaml(text)
