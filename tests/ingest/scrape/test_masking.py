from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.scrape.job import MASK
from tocsin.ingest.scrape.masking import masked, unmasked
from tocsin.model.errors import UserError

FULL: dict[str, Any] = {
    "job_name": "a",
    "basic_auth": {"username": "u", "password": "s1"},
    "authorization": {"type": "Token", "credentials": "s2"},
    "bearer_token": "s3",
    "proxy_url": "http://u:s4@proxy:1",
    "tls_config": {"cert": "c", "key": "s5", "ca": "x"},
    "http_headers": {"X": {"values": ["open"], "secrets": ["s6", "s7"]}},
    "http_sd_configs": [
        {"url": "http://a/", "basic_auth": {"username": "u", "password": "s8"}},
        {"url": "http://b/", "authorization": {"credentials": "s9"}},
    ],
    "static_configs": [{"targets": ["a:1"], "labels": {"password": "a label"}}],
}


def test_no_secret_is_left_and_all_else_is() -> None:
    shown = masked(FULL)
    assert not [secret for secret in (f"s{number}" for number in range(1, 10)) if secret in repr(shown)]
    assert repr(shown).count(MASK) == 9
    assert shown["basic_auth"]["username"] == "u"
    assert shown["tls_config"] == {"cert": "c", "key": MASK, "ca": "x"}
    assert shown["http_headers"]["X"]["values"] == ["open"]
    assert shown["static_configs"] == FULL["static_configs"]


def test_what_was_shown_comes_back_as_what_is_kept() -> None:
    assert unmasked(masked(FULL), FULL) == FULL


def test_a_new_secret_takes_the_place_of_the_old_one() -> None:
    sent = masked(FULL)
    sent["basic_auth"]["password"] = "new"
    assert unmasked(sent, FULL)["basic_auth"]["password"] == "new"


def test_services_are_told_apart_by_their_url() -> None:
    sent = masked(FULL)
    sent["http_sd_configs"].reverse()
    assert unmasked(sent, FULL)["http_sd_configs"] == FULL["http_sd_configs"][::-1]
    sent["http_sd_configs"][0]["url"] = "http://elsewhere/"
    with pytest.raises(UserError, match="send the secret itself"):
        unmasked(sent, FULL)


def test_a_mask_where_nothing_is_kept_is_an_error_that_names_the_place() -> None:
    with pytest.raises(UserError) as caught:
        unmasked({"job_name": "a", "basic_auth": {"password": MASK}}, {})
    assert caught.value.field == "basic_auth.password"


def test_a_password_of_digits_is_a_secret_too() -> None:
    assert masked({"basic_auth": {"password": 1234}}) == {"basic_auth": {"password": MASK}}


def test_a_proxy_without_a_password_is_shown() -> None:
    assert masked({"proxy_url": "http://proxy:1"}) == {"proxy_url": "http://proxy:1"}


JSON = st.recursive(
    st.none() | st.text("ab@", max_size=3) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["password", "credentials", "key", "secrets", "url", "basic_auth", "X"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(FULL)), JSON))
def test_masking_changes_nothing_that_it_is_given_and_is_undone_by_unmasking(job: dict[str, Any]) -> None:
    before = deepcopy(job)
    shown = masked(job)
    assert job == before
    services = job.get("http_sd_configs")
    if not isinstance(services, list) or len(services) < 2:
        assert unmasked(shown, job) == job
    assert masked(shown) == shown
