from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.rule import Condition, Rule
from tocsin.rules.selection import Selection

words = st.sampled_from(["", "a", "b"])
matchers = st.builds(Matcher, st.sampled_from(["host", "zone"]), st.sampled_from(MatchOp), words)
metrics = st.sampled_from(["load", "memory"])
series = st.builds(lambda name, host, zone: Labels.metric(name, {"host": host, "zone": zone}), metrics, words, words)
some_rules = st.lists(st.tuples(metrics, st.lists(matchers, max_size=3)), max_size=8)


@given(some_rules, st.sets(st.integers(0, 7)), series)
def test_it_finds_what_asking_every_rule_would_find(
    shapes: list[tuple[str, list[Matcher]]], removed: set[int], labels: Labels
) -> None:
    rules = [
        Rule(id=number, name="r", metric_name=name, condition=Condition.ABOVE, threshold=0.0, matchers=tuple(found))
        for number, (name, found) in enumerate(shapes)
    ]
    selection = Selection()
    for rule in rules:
        selection.add(rule)
    for number in removed:
        selection.remove(number)
    expected = {rule.id for rule in rules if rule.id not in removed and rule.selects(labels)}
    assert sorted(rule.id for rule in selection.select(labels)) == sorted(expected)
