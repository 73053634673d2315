from __future__ import annotations

import pytest

from tocsin.model.duration import Duration
from tocsin.model.errors import UserError
from tocsin.notify.settings import DeliverySettings, SmtpSettings, check_delivery, check_smtp


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        (SmtpSettings(), 587),
        (SmtpSettings(security="tls"), 465),
        (SmtpSettings(security="none"), 25),
        (SmtpSettings(port=2525), 2525),
    ],
)
def test_the_port_follows_the_security(settings: SmtpSettings, port: int) -> None:
    assert settings.port_used == port


@pytest.mark.parametrize(
    ("settings", "sender"),
    [
        (SmtpSettings(from_="a@example.org", username="b@example.org"), "a@example.org"),
        (SmtpSettings(username="b@example.org"), "b@example.org"),
        (SmtpSettings(username="b"), "tocsin@localhost"),
    ],
)
def test_the_sender_falls_back_to_the_account(settings: SmtpSettings, sender: str) -> None:
    assert settings.sender == sender


@pytest.mark.parametrize(
    "settings",
    [
        SmtpSettings(),
        SmtpSettings(host="mail", to=("ops@example.org",)),
        SmtpSettings(host="mail", username="u", password="p"),
        SmtpSettings(host="mail", security="none"),
    ],
)
def test_settings_that_can_work_pass(settings: SmtpSettings) -> None:
    assert check_smtp(settings) is settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (SmtpSettings(to=("ops@example.org",)), "name the mail server"),
        (SmtpSettings(host="mail", security="none", username="u", password="p"), "would send the password unencrypted"),
        (SmtpSettings(host="mail", username="u"), "without a password"),
        (SmtpSettings(host="mail", password="p"), "without smtp.username"),
        (SmtpSettings(host="mail", to=("ops",)), "'ops' is not an e-mail address"),
        (SmtpSettings(host="mail", from_="nobody"), "'nobody' is not an e-mail address"),
        (SmtpSettings(host="mail", port=70_000), "between 1 and 65535"),
        (SmtpSettings(host="mail", connections=0), "at least 1"),
        (SmtpSettings(host="mail", timeout=Duration(0)), "longer than 0 seconds"),
    ],
)
def test_settings_that_cannot_work_say_what_to_change(settings: SmtpSettings, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_smtp(settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (DeliverySettings(retry_first=Duration(0)), "retry_first"),
        (DeliverySettings(retry_max=Duration(1)), "retry_max"),
        (DeliverySettings(send_timeout=Duration(0)), "send_timeout"),
        (DeliverySettings(at_once_each=0), "at_once_each"),
        (DeliverySettings(at_once=4), "at_once"),
    ],
)
def test_delivery_that_cannot_work_says_what_to_change(settings: DeliverySettings, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_delivery(settings)


def test_the_password_is_not_in_the_text_of_the_settings() -> None:
    assert "geheim" not in repr(SmtpSettings(password="geheim"))


def test_the_defaults_of_delivery_pass() -> None:
    assert check_delivery(DeliverySettings()) == DeliverySettings()
