from tocsin.model.rule_group import AlertingRule, RecordingRule, RuleGroup


def test_a_rule_is_called_what_it_records_or_raises() -> None:
    assert RecordingRule("job:up:sum", "sum by (job) (up)").name == "job:up:sum"
    assert AlertingRule("Down", "up == 0").name == "Down"


def test_labels_of_a_rule_win_over_those_of_its_group() -> None:
    rule = RecordingRule("r", "up", labels=(("team", "db"), ("site", "b")))
    group = RuleGroup("g", (rule,), labels=(("site", "a"), ("owner", "ops")))
    assert group.labels_of(rule) == (("site", "b"), ("owner", "ops"), ("team", "db"))
