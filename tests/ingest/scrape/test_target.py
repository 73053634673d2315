from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.scrape.job import ScrapeJob, TargetGroup
from tocsin.ingest.scrape.relabel import Action, Relabel
from tocsin.ingest.scrape.target import Dropped, Target, populate
from tocsin.model.labels import Labels


def job(*rules: Relabel, **more: object) -> ScrapeJob:
    return ScrapeJob("node", relabels=rules, **more)  # type: ignore[arg-type]


def set_to(label: str, value: str) -> Relabel:
    return Relabel(target_label=label, replacement=value)


def one(made: ScrapeJob, address: str = "a:9100", **labels: str) -> Target:
    (target,), dropped = populate(made, [TargetGroup((address,), tuple(labels.items()))])
    assert dropped == []
    return target


def why(made: ScrapeJob, address: str = "a:9100") -> str:
    targets, (dropped,) = populate(made, [TargetGroup((address,))])
    assert targets == []
    return dropped.reason


def test_a_target_is_its_address_under_the_jobs_name() -> None:
    target = one(job(), rack="7")
    assert target.url == "http://a:9100/metrics"
    assert target.labels == Labels.of(job="node", instance="a:9100", rack="7")
    assert (target.interval_ms, target.timeout_ms) == (60_000, 10_000)


def test_what_was_there_before_relabelling_is_kept_for_people() -> None:
    assert one(job(set_to("rack", "8")), rack="7").discovered == Labels.of(
        job="node",
        rack="7",
        __address__="a:9100",
        __scheme__="http",
        __metrics_path__="/metrics",
        __scrape_interval__="1m",
        __scrape_timeout__="10s",
    )


def test_relabelling_chooses_scheme_address_path_parameters_and_times() -> None:
    target = one(
        job(
            set_to("__scheme__", "https"),
            Relabel(source_labels=("__address__",), target_label="__param_target"),
            set_to("__address__", "prober:9115"),
            set_to("__metrics_path__", "/probe"),
            set_to("__scrape_interval__", "5s"),
            set_to("__scrape_timeout__", "3s"),
            set_to("__param_module", "dns"),
            params=(("module", ("http", "tcp")), ("debug", ("true",))),
        )
    )
    assert target.url == "https://prober:9115/probe?debug=true&module=dns&module=tcp&target=a%3A9100"
    assert (target.interval_ms, target.timeout_ms) == (5_000, 3_000)
    assert target.labels == Labels.of(job="node", instance="prober:9115")


def test_an_instance_that_is_given_is_kept() -> None:
    assert one(job(set_to("instance", "web1"))).labels.get("instance") == "web1"


def test_private_labels_are_not_stored() -> None:
    assert one(job(), __meta_zone="z", __tmp_x="y").labels == Labels.of(job="node", instance="a:9100")


def test_a_path_without_a_slash_gets_one_and_may_have_a_query() -> None:
    assert one(job(metrics_path="stats?x=1", params=(("y", ("2",)),))).url == "http://a:9100/stats?x=1&y=2"


@pytest.mark.parametrize(
    ("rule", "address", "said"),
    [
        (Relabel(Action.DROP, ("__address__",), regex="a.*"), "a:1", "A rule of relabel_configs dropped it."),
        (set_to("__address__", ""), "a:1", "It has no __address__ after relabelling."),
        (set_to("__address__", "a/b"), "a:1", "Its __address__ must be HOST:PORT, and is 'a/b'."),
        (set_to("__address__", "me@elsewhere"), "a:1", "Its __address__ must be HOST:PORT, and is 'me@elsewhere'."),
        (set_to("__scheme__", "ftp"), "a:1", "Its __scheme__ must be http or https, and is 'ftp'."),
        (set_to("a\nb", "x"), "a:1", "Its label `a\N{REPLACEMENT CHARACTER}b` holds a control character."),
        (set_to("__scrape_interval__", "soon"), "a:1", "'soon' is not a duration"),
        (set_to("__scrape_timeout__", "2m"), "a:1", "must be above 0s and not above __scrape_interval__"),
    ],
)
def test_an_address_that_is_no_target_says_why(rule: Relabel, address: str, said: str) -> None:
    assert said in why(job(rule), address)


def test_the_same_target_twice_is_scraped_once() -> None:
    targets, dropped = populate(job(), [TargetGroup(("a:1", "b:1", "a:1")), TargetGroup(("a:1",))])
    assert [target.url for target in targets] == ["http://a:1/metrics", "http://b:1/metrics"]
    assert dropped == []


def test_targets_that_differ_in_a_private_label_are_two() -> None:
    targets, _ = populate(job(), [TargetGroup(("a:1",), (("__param_x", "1"),)), TargetGroup(("a:1",))])
    assert len(targets) == 2


def test_how_often_a_target_is_scraped_is_no_part_of_what_it_is() -> None:
    assert one(job(interval_ms=5_000, timeout_ms=5_000)).key == one(job()).key


def test_dropped_addresses_keep_their_labels() -> None:
    _, (dropped,) = populate(job(Relabel(Action.DROP)), [TargetGroup(("a:1",), (("rack", "7"),))])
    assert dropped == Dropped("node", dropped.discovered, "A rule of relabel_configs dropped it.")
    assert dropped.discovered.get("rack") == "7"


@given(st.text("abc.", min_size=1, max_size=8), st.integers(100, 100_000))
def test_the_moment_is_within_the_interval_and_always_the_same(address: str, interval_ms: int) -> None:
    made = job(interval_ms=interval_ms, timeout_ms=100)
    offset = one(made, address).offset_ms()
    assert 0 <= offset < interval_ms
    assert one(made, address).offset_ms() == offset
