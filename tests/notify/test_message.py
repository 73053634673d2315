from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.notify.letters import FIRED_MS, a_letter, a_resolved_letter, an_alert

from tocsin.model.duration import HOUR_MS, MINUTE_MS
from tocsin.model.labels import Labels
from tocsin.model.outbox import Letter, LetterKind
from tocsin.model.rule import Condition, Severity
from tocsin.notify.address import parse_address
from tocsin.notify.message import compose, render_alert_email, render_letter

SENDER = parse_address("alerts@example.org")
RECIPIENT = parse_address("ops@example.org")


class Seen(HTMLParser):
    """What a mail client would show: the text, and the tags with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())

    def after(self, label: str) -> str:
        return self.words[self.words.index(label) + 1]


def travelled(letter: Letter, at_ms: int | None = None) -> EmailMessage:
    """The mail as its reader gets it: written to bytes and parsed again."""
    at = letter.created_at_ms if at_ms is None else at_ms
    raw = compose(letter, render_letter(letter, at), SENDER, RECIPIENT, at)
    return message_from_bytes(raw, policy=policy.default)


def test_a_mail_from_plain_values_names_all_that_the_contract_asks_for() -> None:
    mail = render_alert_email(
        name="High CPU Usage",
        severity=Severity.WARNING,
        metric="system.cpu.usage",
        operator=Condition.ABOVE,
        threshold=80.0,
        value=91.304,
        triggered_at_ms=FIRED_MS,
    )
    assert mail.subject == "[WARNING] System Alert: High CPU Usage"
    assert "border-left: 4px solid #FFA500" in mail.html
    seen = Seen(mail.html)
    assert seen.after("Alert Name") == "High CPU Usage"
    assert seen.after("Severity") == "WARNING"
    assert seen.after("Metric") == "system.cpu.usage"
    assert seen.after("Condition") == "> 80.0"
    assert seen.after("Current Value") == "91.30"
    assert seen.after("Triggered At") == "2026-11-23 09:30:00 UTC"


@pytest.mark.parametrize(
    ("severity", "colour"),
    [(Severity.CRITICAL, "#FF0000"), (Severity.WARNING, "#FFA500"), (Severity.INFO, "#0000FF")],
)
def test_the_border_has_the_colour_of_the_severity(severity: Severity, colour: str) -> None:
    mail = render_letter(a_letter(an_alert(severity=severity)), FIRED_MS)
    assert f"border-left: 4px solid {colour}" in mail.html
    assert mail.subject == f"[{severity.value.upper()}] System Alert: High CPU Usage"


def test_a_letter_says_which_host_it_is_about() -> None:
    mail = render_letter(a_letter(an_alert(labels={"mount": "/var", "host": "db-2"})), FIRED_MS)
    assert Seen(mail.html).after("host") == "db-2"
    assert Seen(mail.html).after("mount") == "/var"
    assert "  host = db-2\n  mount = /var\n" in mail.text
    assert "system.cpu.usage is 91.30, above 80.0" in mail.text


def of_expression(**annotations: str) -> Letter:
    alert = an_alert(labels={"alertname": "Down", "job": "web"}, name="Down", severity=Severity.CRITICAL, value=0.0)
    said = replace(alert, metric_name="", expr='up{job="web"} == 0', annotations=tuple(annotations.items()))
    return replace(a_letter(), alert=said)


def test_a_rule_that_is_an_expression_is_told_with_it_and_its_annotations() -> None:
    letter = of_expression(summary="web answers nobody", runbook="https://example.org/<b>")
    mail = render_letter(letter, letter.created_at_ms)
    seen = Seen(mail.html)
    assert mail.subject == "[CRITICAL] System Alert: Down"
    assert seen.after("Expression") == 'up{job="web"} == 0'
    assert (seen.after("Severity"), seen.after("Current Value")) == ("CRITICAL", "0.00")
    assert seen.after("runbook") == "https://example.org/<b>"
    assert "web answers nobody" in mail.text
    assert not {"Metric", "Condition"} & set(seen.words)


def test_an_expression_without_a_summary_is_told_by_its_value() -> None:
    letter = of_expression()
    assert "The value is 0.00" in render_letter(letter, letter.created_at_ms).text


def test_a_repeat_says_so_and_since_when_under_the_same_subject() -> None:
    at_ms = FIRED_MS + 2 * HOUR_MS
    mail = render_letter(a_letter(kind=LetterKind.REPEAT, created_ms=at_ms), at_ms)
    assert mail.subject == "[WARNING] System Alert: High CPU Usage"
    for words in (mail.text, mail.html):
        assert "Still firing since 2026-11-23 09:30:00 UTC, for 2 h." in words
    assert Seen(mail.html).after("Peak") == "97.50"


def test_a_resolved_mail_tells_how_it_went() -> None:
    letter = a_resolved_letter(an_alert(acknowledged_by="mara", comment="restarted"))
    mail = render_letter(letter, letter.created_at_ms)
    assert mail.subject == "[RESOLVED] System Alert: High CPU Usage"
    assert "border-left: 4px solid #FFA500" in mail.html
    seen = Seen(mail.html)
    assert seen.after("Last Value") == "42.10"
    assert seen.after("Peak") == "97.50"
    assert seen.after("Resolved At") == "2026-11-23 11:45:00 UTC"
    assert seen.after("Duration") == "2 h 15 min"
    assert seen.after("Acknowledged By") == "mara – restarted"
    assert "condition cleared" in mail.text


def test_a_mail_that_comes_late_says_how_late() -> None:
    late = render_letter(a_letter(), FIRED_MS + 6 * HOUR_MS)
    assert "Delayed by 6 h: this is how it was at 2026-11-23 09:30:00 UTC." in late.text
    assert "Delayed by 6 h" in late.html
    assert "Delayed" not in render_letter(a_letter(), FIRED_MS + 4 * MINUTE_MS).text


def test_a_link_is_there_only_where_the_address_of_the_server_is_known() -> None:
    linked = render_letter(a_letter(), FIRED_MS, "https://tocsin.example.org/")
    assert ("a", "https://tocsin.example.org/#/alerts/7") in [
        (tag, attributes.get("href")) for tag, attributes in Seen(linked.html).tags
    ]
    assert "https://tocsin.example.org/#/alerts/7" in linked.text
    bare = render_letter(a_letter(), FIRED_MS)
    assert "a" not in [tag for tag, _ in Seen(bare.html).tags]


def test_nothing_in_the_html_is_fetched_or_run() -> None:
    tags = Seen(render_letter(a_letter(), FIRED_MS, "https://tocsin.example.org").html).tags
    assert not {tag for tag, _ in tags} & {"script", "img", "link", "iframe", "object", "form"}
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on") or name == "src"]


HOSTILE = (
    "\r\nBcc: x@example.net",
    "<img src=x onerror=alert(1)>",
    "{{7*7}}",
    "{% for c in ''.__class__.__mro__ %}{{ c }}{% endfor %}",
    "\u202e\u2066evil\u2069",
    "a" * 65_536,
    "nul\x00byte",
    "\"'></td></table><script>alert(1)</script>",
    "=?utf-8?q?=0D=0ABcc:_x@example.net?=",
    "@everyone",
)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_text_is_inert_wherever_it_stands(text: str) -> None:
    clean = travelled(a_letter(an_alert(labels={"host": "web-1", "extra": "x"}, acknowledged_by="m", comment="c")))
    hostile = an_alert(name=f"CPU {text}", labels={"host": text, text: "x"}, acknowledged_by=text, comment=text)
    for letter in (a_letter(hostile), a_letter(hostile, LetterKind.REPEAT), a_resolved_letter(hostile)):
        message = travelled(letter)
        assert sorted(message.keys()) == sorted(clean.keys())
        html = part(message, "html")
        plain = part(message, "plain")
        assert not {tag for tag, _ in Seen(html).tags} & {"img", "script"}
        assert "49" not in "".join(Seen(html).words)
        assert not set("\u202e\u2066\x00\r") & set(html + plain)
        assert len(html) < 40_000
        assert "Bcc" not in [line.partition(":")[0] for line in plain.splitlines()]


def part(message: EmailMessage, subtype: str) -> str:
    body = message.get_body((subtype,))
    assert body is not None
    return cast("str", body.get_content()).replace("\r\n", "\n")


@given(st.text(alphabet=st.characters(), min_size=1, max_size=255))
def test_every_name_comes_through_the_subject_as_it_is_shown(name: str) -> None:
    letter = a_letter(an_alert(name=name))
    message = travelled(letter)
    shown = render_letter(letter, FIRED_MS).subject
    assert str(message["Subject"]).split() == shown.split()
    assert message["Bcc"] is None


@given(st.dictionaries(st.text(max_size=40), st.text(max_size=40), max_size=40))
def test_every_label_can_be_mailed(labels: dict[str, str]) -> None:
    message = travelled(a_letter(replace(an_alert(), labels=Labels.of(labels))))
    assert part(message, "html").count("<html") == 1
    assert part(message, "plain")


def test_many_labels_are_counted_instead_of_shown() -> None:
    mail = render_letter(a_letter(an_alert(labels={f"label{number:02}": "x" for number in range(50)})), FIRED_MS)
    assert "and 20 more" in mail.text
    assert "and 20 more labels" in mail.html


def test_the_headers_are_those_that_mail_programs_ask_for() -> None:
    message = travelled(a_letter())
    assert message["From"] == "tocsin <alerts@example.org>"
    assert message["To"] == "ops@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Id"] == "tocsin alerts <alerts.tocsin.example.org>"
    assert message["X-Tocsin-Alert"] == "7"
    assert message["X-Tocsin-Severity"] == "warning"
    assert str(message["Message-ID"]).endswith("@example.org>")
    assert [kind.get_content_type() for kind in message.iter_parts()] == ["text/plain", "text/html"]
    assert [kind["Content-Transfer-Encoding"] for kind in message.iter_parts()] == ["quoted-printable"] * 2


def test_all_mails_of_one_alert_are_one_thread_and_those_of_another_are_not() -> None:
    firing, repeat = a_letter(), a_letter(kind=LetterKind.REPEAT, created_ms=FIRED_MS + HOUR_MS)
    resolved, other = a_resolved_letter(), a_letter(an_alert(id=8))
    roots = [travelled(letter)["References"] for letter in (firing, repeat, resolved, other)]
    assert roots[0] == roots[1] == roots[2] != roots[3]
    assert travelled(firing)["In-Reply-To"] == roots[0]
    ids = {travelled(letter)["Message-ID"] for letter in (firing, repeat, resolved, other)}
    assert len(ids) == 4


def test_a_letter_keeps_its_message_id_however_late_it_is_sent() -> None:
    assert travelled(a_letter())["Message-ID"] == travelled(a_letter(), FIRED_MS + HOUR_MS)["Message-ID"]


@pytest.mark.parametrize(
    ("letter", "important"),
    [
        (a_letter(an_alert(severity=Severity.CRITICAL)), True),
        (a_letter(an_alert(severity=Severity.CRITICAL), LetterKind.REPEAT), True),
        (a_resolved_letter(an_alert(severity=Severity.CRITICAL)), False),
        (a_letter(an_alert(severity=Severity.WARNING)), False),
    ],
)
def test_only_a_critical_alert_that_fires_is_important(letter: Letter, important: bool) -> None:
    assert (travelled(letter)["Importance"] == "high") is important


def test_a_subject_beyond_ascii_travels_as_encoded_words() -> None:
    letter = a_letter(an_alert(name="Festplatte fast voll – größer als 90 %"))
    raw = compose(letter, render_letter(letter, FIRED_MS), SENDER, RECIPIENT, FIRED_MS)
    assert raw.isascii()
    assert travelled(letter)["Subject"] == "[WARNING] System Alert: Festplatte fast voll – größer als 90 %"


def test_the_sender_keeps_a_name_of_its_own() -> None:
    mail = render_letter(a_letter(), FIRED_MS)
    raw = compose(a_letter(), mail, parse_address("Night watch <a@example.org>"), RECIPIENT, FIRED_MS)
    assert message_from_bytes(raw, policy=policy.default)["From"] == "Night watch <a@example.org>"
