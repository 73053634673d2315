"""An alert as an e-mail: subject, HTML, plain text and headers. Pure; nothing here sends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tocsin.model.alert import Alert
from tocsin.model.duration import MINUTE_MS
from tocsin.model.labels import Labels
from tocsin.model.outbox import Letter, LetterKind
from tocsin.model.rule import Condition, Severity
from tocsin.notify.plain import inert, number_text, span_text, time_text

NAME_CHARS_MAX = 255
LABEL_CHARS_MAX = 200
LABELS_MAX = 30
COMMENT_CHARS_MAX = 500
EXPR_CHARS_MAX = 1_000
DELAY_SHOWN_MS = 5 * MINUTE_MS

Facts = tuple[tuple[str, str], ...]

_WORDS = {
    Condition.ABOVE: "above",
    Condition.AT_LEAST: "at or above",
    Condition.BELOW: "below",
    Condition.AT_MOST: "at or below",
    Condition.EQUAL: "equal to",
    Condition.NOT_EQUAL: "different from",
}
_STATUS = {LetterKind.FIRING: "Firing", LetterKind.REPEAT: "Still firing", LetterKind.RESOLVED: "Resolved"}
_GREEN = "#1A7F37"
_BADGE_TEXT = {Severity.CRITICAL: "#FFFFFF", Severity.WARNING: "#241500", Severity.INFO: "#FFFFFF"}

_templates = Environment(
    loader=PackageLoader("tocsin.notify"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_HTML = _templates.get_template("alert.html")
_TEXT = _templates.get_template("alert.txt")


@dataclass(frozen=True, slots=True)
class AlertMail:
    """What a reader sees. `subject` is one line; in `html` everything that came from outside is escaped."""

    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class _View:
    """What the templates show: every text is inert, nothing is escaped yet."""

    name: str
    status: str
    summary: str
    notes: tuple[str, ...]
    facts: Facts
    labels: Facts
    labels_left_out: int
    border: str
    badge: str
    badge_text: str
    link: str


def render_alert_email(
    *,
    name: str,
    severity: Severity,
    metric: str,
    operator: Condition,
    threshold: float,
    value: float,
    triggered_at_ms: int,
    labels: Labels | None = None,
) -> AlertMail:
    """The mail about an alert that has just fired, from plain values."""
    facts = (
        *_rule_facts(name, severity, metric, operator, threshold),
        ("Current Value", number_text(value)),
        ("Triggered At", _utc(triggered_at_ms)),
    )
    summary = _summary(metric, value, operator, threshold)
    return _render(
        name=name,
        severity=severity,
        kind=LetterKind.FIRING,
        summary=summary,
        notes=(),
        facts=facts,
        labels=labels or Labels(),
        link="",
    )


def render_letter(letter: Letter, at_ms: int, external_url: str = "") -> AlertMail:
    """The mail that a letter becomes when it is sent at `at_ms`. `external_url` is where people open tocsin."""
    alert = letter.alert
    rule = _facts_of(alert)
    if letter.kind is LetterKind.RESOLVED:
        facts = (*rule, *_resolved_facts(alert))
        summary = f"Resolved after {span_text(alert.resolved_at_ms - _triggered_ms(alert))}: {alert.reason}"
    else:
        facts = (*rule, *_firing_facts(alert, letter.kind))
        summary = _summary_of(alert)
    return _render(
        name=alert.rule_name,
        severity=alert.severity,
        kind=letter.kind,
        summary=summary,
        notes=_notes(letter, at_ms),
        facts=facts,
        labels=alert.labels,
        link=f"{external_url.rstrip('/')}/#/alerts/{alert.id}" if external_url else "",
    )


def compose(letter: Letter, mail: AlertMail, sender: Address, recipient: Address, at_ms: int) -> bytes:
    """The mail as it travels: ASCII, CRLF. A letter that is sent twice has one Message-ID; an alert is one thread."""
    alert = letter.alert
    thread = f"<alert-{_digest(alert.id, alert.labels.series_id(), _triggered_ms(alert))}@{sender.domain}>"
    message = EmailMessage(policy=SMTP)
    message["From"] = sender if sender.display_name else Address("tocsin", addr_spec=sender.addr_spec)
    message["To"] = recipient
    message["Date"] = datetime.fromtimestamp(at_ms // 1_000, UTC)
    # `created_at_ms` is in it because a new installation counts its letters from one again.
    message["Message-ID"] = f"<letter-{_digest(letter.key, letter.created_at_ms)}@{sender.domain}>"
    message["In-Reply-To"] = thread
    message["References"] = thread
    message["List-Id"] = f"tocsin alerts <alerts.tocsin.{sender.domain.strip('[]')}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"  # Exchange knows this one, and not Auto-Submitted
    message["X-Tocsin-Alert"] = str(alert.id)
    message["X-Tocsin-Severity"] = alert.severity.value
    if alert.severity is Severity.CRITICAL and letter.kind is not LetterKind.RESOLVED:
        message["Importance"] = "high"
        message["X-Priority"] = "1"
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    return b"Subject: %s\r\n%s" % (_subject_line(mail.subject), message.as_bytes())


def _subject_line(subject: str) -> bytes:
    """The subject as its header's value, in encoded words where it must be.

    EmailMessage would decode a name that spells an encoded word, line breaks in it included, and loses
    spaces where it folds words beyond ASCII. The older Header does neither.
    """
    charset = "us-ascii" if subject.isascii() and "=?" not in subject else "utf-8"
    return Header(subject, charset, header_name="Subject").encode(linesep="\r\n").encode("ascii")


def _render(
    *,
    name: str,
    severity: Severity,
    kind: LetterKind,
    summary: str,
    notes: tuple[str, ...],
    facts: Facts,
    labels: Labels,
    link: str,
) -> AlertMail:
    resolved = kind is LetterKind.RESOLVED
    shown_name = inert(name, NAME_CHARS_MAX)
    tags = sorted(labels.tags.items(), key=lambda pair: (pair[0] != "host", pair[0]))
    view = _View(
        name=shown_name,
        status=_STATUS[kind],
        summary=summary,
        notes=notes,
        facts=facts,
        labels=tuple((inert(key, LABEL_CHARS_MAX), inert(value, LABEL_CHARS_MAX)) for key, value in tags[:LABELS_MAX]),
        labels_left_out=max(0, len(tags) - LABELS_MAX),
        border=severity.colour,
        badge=_GREEN if resolved else severity.colour,
        badge_text="#FFFFFF" if resolved else _BADGE_TEXT[severity],
        link=link,
    )
    # The stem after the brackets never changes: Gmail holds mails together by References and the same subject.
    subject = f"[{'RESOLVED' if resolved else severity.value.upper()}] System Alert: {shown_name}"
    return AlertMail(subject, _HTML.render(view=view), _TEXT.render(view=view))


def _rule_facts(name: str, severity: Severity, metric: str, operator: Condition, threshold: float) -> Facts:
    return (
        ("Alert Name", inert(name, NAME_CHARS_MAX)),
        ("Severity", severity.value.upper()),
        ("Metric", inert(metric, NAME_CHARS_MAX)),
        ("Condition", f"{operator.value} {threshold}"),
    )


def _facts_of(alert: Alert) -> Facts:
    if not alert.expr:
        return _rule_facts(alert.rule_name, alert.severity, alert.metric_name, alert.condition, alert.threshold)
    return (
        ("Alert Name", inert(alert.rule_name, NAME_CHARS_MAX)),
        ("Severity", alert.severity.value.upper()),
        ("Expression", inert(alert.expr, EXPR_CHARS_MAX)),
        *((inert(name, LABEL_CHARS_MAX), inert(text, COMMENT_CHARS_MAX)) for name, text in alert.annotations),
    )


def _summary_of(alert: Alert) -> str:
    if not alert.expr:
        return _summary(alert.metric_name, alert.value, alert.condition, alert.threshold)
    said = dict(alert.annotations).get("summary", "")
    return inert(said, COMMENT_CHARS_MAX) or f"The value is {number_text(alert.value)}"


def _firing_facts(alert: Alert, kind: LetterKind) -> Facts:
    peak = (("Peak", number_text(alert.peak)),) if kind is LetterKind.REPEAT else ()
    return (("Current Value", number_text(alert.value)), *peak, ("Triggered At", _utc(_triggered_ms(alert))))


def _resolved_facts(alert: Alert) -> Facts:
    facts = (
        ("Last Value", number_text(alert.value)),
        ("Peak", number_text(alert.peak)),
        ("Triggered At", _utc(_triggered_ms(alert))),
        ("Resolved At", _utc(alert.resolved_at_ms)),
        ("Duration", span_text(alert.resolved_at_ms - _triggered_ms(alert))),
    )
    if not alert.acknowledged:
        return facts
    comment = f" – {inert(alert.comment, COMMENT_CHARS_MAX)}" if alert.comment else ""
    return (*facts, ("Acknowledged By", inert(alert.acknowledged_by, NAME_CHARS_MAX) + comment))


def _notes(letter: Letter, at_ms: int) -> tuple[str, ...]:
    """What a reader must know about the mail itself: that it is a repeat, that it comes late."""
    notes: list[str] = []
    if letter.kind is LetterKind.REPEAT:
        since_ms = _triggered_ms(letter.alert)
        notes.append(f"Still firing since {_utc(since_ms)}, for {span_text(letter.created_at_ms - since_ms)}.")
    late_ms = at_ms - letter.created_at_ms
    if late_ms >= DELAY_SHOWN_MS:
        notes.append(f"Delayed by {span_text(late_ms)}: this is how it was at {_utc(letter.created_at_ms)}.")
    return tuple(notes)


def _summary(metric: str, value: float, operator: Condition, threshold: float) -> str:
    return f"{inert(metric, NAME_CHARS_MAX)} is {number_text(value)}, {_WORDS[operator]} {threshold}"


def _triggered_ms(alert: Alert) -> int:
    return alert.fired_at_ms or alert.since_ms


def _utc(at_ms: int) -> str:
    return f"{time_text(at_ms)} UTC"


def _digest(*parts: object) -> str:
    return sha256(repr(parts).encode()).hexdigest()[:32]
