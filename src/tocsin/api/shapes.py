"""The shapes of the API's JSON, in and out. The UI's types are generated from them, so their names are its words.

Times are RFC 3339 text but where a field says ms. A number that JSON cannot write (NaN, ±Inf) is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from tocsin.api.times import rfc3339, rfc3339_or_none
from tocsin.ingest.scrape.book import JobView
from tocsin.ingest.scrape.scraper import Health, Watched
from tocsin.ingest.scrape.target import Dropped
from tocsin.model import alert as alerts
from tocsin.model import backup, outbox, people, retention, rule
from tocsin.model.alert import AlertState
from tocsin.model.backup import BackupState
from tocsin.model.duration import format_ms
from tocsin.model.matcher import MatchOp
from tocsin.model.outbox import LetterKind, LetterState
from tocsin.model.people import Role
from tocsin.model.rule import Condition, Severity
from tocsin.store import budget as disk_budget

T = TypeVar("T")

Tags = dict[str, str]
Seconds = Annotated[float, Field(description="seconds")]


class Shape(BaseModel):
    """What tocsin says."""

    model_config = ConfigDict(frozen=True)


class Asked(BaseModel):
    """What a caller says; a field that does not exist is an error, so that a misspelt one is not lost."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Listed(Shape, Generic[T]):
    """A page of a list."""

    items: list[T]
    next: str | None = Field(description="pass it as `cursor` to get the next page; null on the last")


class Problem(Shape):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="a sentence for a person")
    field: str | None = Field(default=None, description="the part of the input that is wrong; absent where unknown")


# metrics


class Rejected(Shape):
    index: int = Field(description="position of the sample in the list that was sent")
    reason: str


class Stored(Shape):
    stored: int
    rejected: list[Rejected]


class Sample(Asked):
    """One sample to store."""

    name: str
    value: float
    tags: Tags = {}
    timestamp: str | float | None = Field(default=None, description="RFC 3339 or epoch seconds; now where absent")


class Metric(Shape):
    name: str
    unit: str = Field(description="UCUM code, such as `%`, `By` or `s`; empty where unknown")
    kind: str = Field(description="`gauge` or `counter`")
    help: str
    series: int = Field(description="how many series it has")


class MetricList(Listed[Metric]):
    pass


class Series(Shape):
    name: str
    labels: Tags = Field(description="all labels but the metric's name")
    time: int | None = Field(description="ms UTC of the newest sample; null where there was none lately")
    value: float | None


class SeriesList(Listed[Series]):
    pass


class SeriesName(Shape):
    name: str
    labels: Tags = Field(description="all labels but the metric's name")


class SeriesNames(Listed[SeriesName]):
    pass


class Texts(Listed[str]):
    pass


class CountedMetric(Shape):
    name: str
    series: int


class CountedLabel(Shape):
    name: str
    values: int = Field(description="how many different values it has")


class CountedPair(Shape):
    name: str
    value: str
    series: int


class SeriesStats(Shape):
    """How many series there are, and of what; the largest come first."""

    series: int
    series_max: int = Field(description="beyond it, new series are refused")
    metric_series_max: int = Field(description="the same for each metric; 0 is no limit")
    label_pairs: int = Field(description="different labels with their values")
    metrics: list[CountedMetric]
    labels: list[CountedLabel]
    pairs: list[CountedPair]


class RangeSeries(Shape):
    labels: Tags = Field(description="all labels but the metric's name")
    min: list[float | None]
    avg: list[float | None]
    max: list[float | None]


class Range(Shape):
    step_ms: int
    resolution: Literal["raw", "5m", "1h"] = Field(description="the coarsest of what was read: samples or roll-ups")
    times: list[int] = Field(description="ms UTC, the start of each step")
    series: list[RangeSeries] = Field(description="values in the order of `times`, null where a step is empty")


class Trend(Shape):
    name: str
    hours: float
    trend: Literal["up", "down", "flat", "no_data"]
    avg: float
    min: float
    max: float
    slope_per_hour: float
    change: float = Field(description="end of the fitted line minus its start")
    samples: int
    series: int = Field(description="how many series fit; several are averaged")


# alerts and rules


class Alert(Shape):
    """One rule that is broken by one series, from the first bad sample to the resolve."""

    id: int
    rule_id: int | None = Field(description="null where the rule was deleted")
    rule_name: str
    metric_name: str
    condition: Condition
    threshold: float
    state: AlertState
    severity: Severity
    labels: Tags = Field(description="all labels but the metric's name")
    value: float | None = Field(description="the newest value")
    peak: float | None = Field(description="the worst value so far")
    started_at: str = Field(description="when the condition was first met")
    fired_at: str | None
    resolved_at: str | None
    changed_at: str
    reason: str = Field(description="why it is in this state")
    acknowledged: bool
    acknowledged_by: str
    acknowledged_at: str | None
    comment: str

    @classmethod
    def of(cls, alert: alerts.Alert) -> Alert:
        return cls(
            id=alert.id,
            rule_id=alert.rule_id,
            rule_name=alert.rule_name,
            metric_name=alert.metric_name,
            condition=alert.condition,
            threshold=alert.threshold,
            state=alert.state,
            severity=alert.severity,
            labels=alert.labels.tags,
            value=alert.value,
            peak=alert.peak,
            started_at=rfc3339(alert.since_ms),
            fired_at=rfc3339_or_none(alert.fired_at_ms),
            resolved_at=rfc3339_or_none(alert.resolved_at_ms),
            changed_at=rfc3339(alert.changed_at_ms),
            reason=alert.reason,
            acknowledged=alert.acknowledged,
            acknowledged_by=alert.acknowledged_by,
            acknowledged_at=rfc3339_or_none(alert.acknowledged_at_ms),
            comment=alert.comment,
        )


class AlertList(Listed[Alert]):
    pass


class Acknowledgement(Asked):
    comment: str = Field(default="", max_length=1_000)


class HistoryItem(Shape):
    """One firing, completed when it resolved."""

    id: int
    alert_id: int
    rule_id: int | None
    rule_name: str
    severity: Severity
    labels: Tags
    triggered_at: str
    value: float | None = Field(description="the value that fired")
    peak: float | None
    resolved_at: str | None
    reason: str
    acknowledged: bool
    acknowledged_by: str
    acknowledged_at: str | None
    comment: str

    @classmethod
    def of(cls, item: alerts.HistoryItem) -> HistoryItem:
        return cls(
            id=item.id,
            alert_id=item.alert_id,
            rule_id=item.rule_id,
            rule_name=item.rule_name,
            severity=item.severity,
            labels=item.labels.tags,
            triggered_at=rfc3339(item.triggered_at_ms),
            value=item.value,
            peak=item.peak,
            resolved_at=rfc3339_or_none(item.resolved_at_ms),
            reason=item.reason,
            acknowledged=item.acknowledged,
            acknowledged_by=item.acknowledged_by,
            acknowledged_at=rfc3339_or_none(item.acknowledged_at_ms),
            comment=item.comment,
        )


class HistoryList(Listed[HistoryItem]):
    pass


class Rule(Shape):
    id: int
    name: str
    metric_name: str
    tags: Tags = Field(description="the matchers that ask for one exact value")
    matchers: list[str] = Field(description='all matchers, written like `mount=~"/data.*"`')
    condition: Condition
    threshold: float
    duration: Seconds = Field(description="how long the condition must hold before an alert fires")
    severity: Severity
    enabled: bool
    description: str
    expr: str = Field(description="the same as PromQL")
    version: int
    created_at: str | None
    updated_at: str | None
    state: Literal["inactive", "pending", "firing"] = Field(description="the worst state of its alerts")
    alerts: int = Field(description="how many of its alerts are pending or firing")

    @classmethod
    def of(cls, saved: rule.Rule, pending: int, firing: int) -> Rule:
        return cls(
            id=saved.id,
            name=saved.name,
            metric_name=saved.metric_name,
            tags={each.label: each.value for each in saved.matchers if each.op is MatchOp.EQUAL},
            matchers=[str(each) for each in saved.matchers],
            condition=saved.condition,
            threshold=saved.threshold,
            duration=saved.duration_ms / 1_000,
            severity=saved.severity,
            enabled=saved.enabled,
            description=saved.description,
            expr=saved.expression(),
            version=saved.version,
            created_at=rfc3339_or_none(saved.created_at_ms),
            updated_at=rfc3339_or_none(saved.updated_at_ms),
            state="firing" if firing else "pending" if pending else "inactive",
            alerts=pending + firing,
        )


class RuleList(Listed[Rule]):
    pass


class NewRule(Asked):
    name: str
    metric_name: str
    condition: Condition
    threshold: float
    duration: float | str = Field(default=0, description="seconds, or text such as `5m`")
    severity: Severity = Severity.WARNING
    tags: Tags = Field(default={}, description="labels that a series must have")
    matchers: list[str] = Field(default=[], description='further matchers, written like `mount=~"/data.*"`')
    enabled: bool = True
    description: str = Field(default="", max_length=10_000)


class RuleChange(Asked):
    """What to change; a field that is not sent stays as it is."""

    name: str | None = None
    metric_name: str | None = None
    condition: Condition | None = None
    threshold: float | None = None
    duration: float | str | None = Field(default=None, description="seconds, or text such as `5m`")
    severity: Severity | None = None
    tags: Tags | None = Field(default=None, description="replaces the matchers that ask for one exact value")
    matchers: list[str] | None = Field(default=None, description="replaces all matchers; `tags` are added to them")
    enabled: bool | None = None
    description: str | None = Field(default=None, max_length=10_000)
    version: int | None = Field(default=None, description="the version that was read; 409 when it is not the newest")


class CreatedRules(Shape):
    created: list[Rule]


# retention

Length = float | str | None
_LENGTH = "seconds, or text such as `2d`; null leaves it to the default"


class RetentionLengths(Shape):
    """How long samples, and the roll-ups of 5 minutes and of hours, are kept, written like `7d`."""

    raw: str
    five_minutes: str
    hours: str

    @classmethod
    def of(cls, lengths: retention.Lengths) -> RetentionLengths:
        return cls(
            raw=format_ms(lengths.raw_ms),
            five_minutes=format_ms(lengths.five_minutes_ms),
            hours=format_ms(lengths.hours_ms),
        )


class RetentionPolicy(Shape):
    """A length that is null is the default's."""

    id: int
    position: int = Field(description="from 0; of all policies that fit a series the first wins")
    name: str
    matchers: list[str] = Field(description='all of them must fit, written like `team="dev"`')
    raw: str | None
    five_minutes: str | None
    hours: str | None
    version: int
    created_at: str | None
    updated_at: str | None

    @classmethod
    def of(cls, policy: retention.Policy, position: int) -> RetentionPolicy:
        lengths = (policy.raw_ms, policy.five_minutes_ms, policy.hours_ms)
        raw, five_minutes, hours = (None if one is None else format_ms(one) for one in lengths)
        return cls(
            id=policy.id,
            position=position,
            name=policy.name,
            matchers=[str(each) for each in policy.matchers],
            raw=raw,
            five_minutes=five_minutes,
            hours=hours,
            version=policy.version,
            created_at=rfc3339_or_none(policy.created_at_ms),
            updated_at=rfc3339_or_none(policy.updated_at_ms),
        )


class RetentionList(Listed[RetentionPolicy]):
    defaults: RetentionLengths = Field(
        description="for every series that no policy fits: `[retention]` of the settings"
    )


class NewRetentionPolicy(Asked):
    name: str
    matchers: list[str] = Field(description='matchers or selectors, such as `team="dev"` or `{__name__=~"slo.*"}`')
    raw: Length = Field(default=None, description=_LENGTH)
    five_minutes: Length = Field(default=None, description=_LENGTH)
    hours: Length = Field(default=None, description=_LENGTH)
    position: int | None = Field(default=None, ge=0, description="where in the list, from 0; the end where absent")


class ListedRetentionPolicy(NewRetentionPolicy):
    id: int | None = Field(default=None, ge=1, description="of the policy that this is; absent for a new one")


class RetentionPolicies(Asked):
    """Their order is that of the list; `position` is not looked at."""

    items: list[ListedRetentionPolicy]


class RetentionPolicyChange(Asked):
    """What to change; a field that is not sent stays as it is."""

    name: str | None = None
    matchers: list[str] | None = None
    raw: Length = Field(default=None, description=_LENGTH)
    five_minutes: Length = Field(default=None, description=_LENGTH)
    hours: Length = Field(default=None, description=_LENGTH)
    position: int | None = Field(default=None, ge=0)
    version: int | None = Field(default=None, description="the version that was read; 409 when it is not the newest")


class SeriesToDelete(Asked):
    match: list[str] = Field(description='selectors such as `{user="42"}`; a series that fits any of them is meant')


class SeriesDeletion(SeriesToDelete):
    series: int = Field(ge=1, description="how many series the preview told")


class RetentionLoss(Shape):
    """What would no longer be kept."""

    samples: int
    buckets: int = Field(description="of roll-ups")
    series: int
    approximate: bool = Field(description="there was no time to count: the figures are estimated")
    text: str = Field(description="the same as a sentence")

    @classmethod
    def of(cls, samples: int, buckets: int, series: int, *, approximate: bool) -> RetentionLoss:
        about = "about " if approximate else ""
        rolled = f" and {buckets} buckets of roll-ups" if buckets else ""
        said = f"This will delete {about}{samples} samples{rolled} of {series} series."
        text = said if samples or buckets or series else "This deletes nothing."
        return cls(samples=samples, buckets=buckets, series=series, approximate=approximate, text=text)


class StoredTable(Shape):
    resolution: Literal["raw", "five_minutes", "hours"]
    rows: int = Field(description="samples or buckets, duplicates included until they are merged")
    bytes: int
    since: str | None = Field(description="the start of the oldest day or block of days; null where there is nothing")


class BudgetDrop(Shape):
    """What was dropped before its time."""

    at: str
    why: str
    samples: int
    buckets: int
    bytes: int
    until: str = Field(description="everything dropped was older")


class DiskUse(Shape):
    tables: list[StoredTable]
    used: int = Field(description="bytes of samples and roll-ups")
    budget: int | None = Field(description="bytes that they may take; null: no limit but the disk's")
    total: int | None = Field(description="bytes of the disk; null where the samples are on a server")
    free: int | None
    free_min: int = Field(description="bytes that must stay free")
    last_drop: BudgetDrop | None

    @classmethod
    def of(cls, use: disk_budget.DiskUse) -> DiskUse:
        last, space = use.last_drop, use.space
        return cls(
            tables=[_stored_table(use, resolution) for resolution in retention.Resolution],
            used=sum(one.bytes for one in use.stored),
            budget=use.budget,
            total=None if space is None else space.total,
            free=None if space is None else space.free,
            free_min=use.free_min,
            last_drop=None
            if last is None
            else BudgetDrop(
                at=rfc3339(last["at_ms"]),
                why=last["why"],
                samples=last["samples"],
                buckets=last["buckets"],
                bytes=last["bytes"],
                until=rfc3339(last["until_ms"]),
            ),
        )


def _stored_table(use: disk_budget.DiskUse, resolution: retention.Resolution) -> StoredTable:
    parts = [one for one in use.stored if one.table.resolution is resolution]
    return StoredTable(
        resolution=resolution.value,
        rows=sum(one.rows for one in parts),
        bytes=sum(one.bytes for one in parts),
        since=rfc3339(min(one.start_ms for one in parts)) if parts else None,
    )


# outbox


class Letter(Shape):
    """One message to one recipient."""

    id: int
    kind: LetterKind
    receiver: str
    recipient: str
    alert_id: int
    rule_name: str
    severity: Severity
    state: LetterState
    created_at: str
    next_attempt_at: str | None
    attempts: int
    last_error: str
    answer: str = Field(description="what the receiver said when it took the message")
    sent_at: str | None
    expires_at: str = Field(description="when tocsin stops trying")

    @classmethod
    def of(cls, letter: outbox.Letter) -> Letter:
        waits = letter.state in (LetterState.QUEUED, LetterState.SENDING)
        return cls(
            id=letter.id,
            kind=letter.kind,
            receiver=letter.target.receiver,
            recipient=letter.target.recipient,
            alert_id=letter.alert.id,
            rule_name=letter.alert.rule_name,
            severity=letter.alert.severity,
            state=letter.state,
            created_at=rfc3339(letter.created_at_ms),
            next_attempt_at=rfc3339(letter.next_attempt_at_ms) if waits else None,
            attempts=letter.attempts,
            last_error=letter.last_error,
            answer=letter.answer,
            sent_at=rfc3339_or_none(letter.sent_at_ms),
            expires_at=rfc3339(letter.expires_at_ms),
        )


class LetterList(Listed[Letter]):
    pass


# people


class SignIn(Asked):
    username: str = Field(max_length=255)
    password: str = Field(max_length=1_024)


class SignInLink(Asked):
    link: str = Field(max_length=1_024)


class SignedIn(Shape):
    name: str
    role: Role


class Session(Shape):
    """Who the caller is, and what they may do."""

    name: str
    role: Role
    kind: Literal["user", "token", "anonymous"]
    permissions: list[str]
    has_password: bool = Field(description="false after a sign-in by link, until a password is set")


class NewPassword(Asked):
    password: str = Field(max_length=1_024)
    current: str | None = Field(default=None, max_length=1_024, description="needed where a password is set")


class User(Shape):
    id: int
    name: str
    role: Role
    enabled: bool
    has_password: bool
    created_at: str | None

    @classmethod
    def of(cls, user: people.User) -> User:
        return cls(
            id=user.id,
            name=user.name,
            role=user.role,
            enabled=user.enabled,
            has_password=bool(user.password_hash),
            created_at=rfc3339_or_none(user.created_at_ms),
        )


class UserList(Listed[User]):
    pass


class NewUser(Asked):
    name: str = Field(max_length=255)
    password: str = Field(max_length=1_024)
    role: Role


class UserChange(Asked):
    role: Role | None = None
    password: str | None = Field(default=None, max_length=1_024)
    enabled: bool | None = None


class Token(Shape):
    id: int
    name: str
    role: Role
    created_by: str
    created_at: str | None
    expires_at: str | None = Field(description="null: never")
    last_used_at: str | None
    labels: dict[str, str] = Field(description="put on every series that it writes, in place of the sender's own")
    rate: int | None = Field(description="samples a second; null: as many as there may be")
    series_max: int | None = Field(description="series with these labels; null: as many as there may be")

    @classmethod
    def of(cls, token: people.Token) -> Token:
        return cls(**_token_fields(token))


def _token_fields(token: people.Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role,
        "created_by": token.created_by,
        "created_at": rfc3339_or_none(token.created_at_ms),
        "expires_at": rfc3339_or_none(token.expires_at_ms),
        "last_used_at": rfc3339_or_none(token.last_used_at_ms),
        "labels": token.allowance.labels.as_dict(),
        "rate": token.allowance.rate,
        "series_max": token.allowance.series_max,
    }


class TokenList(Listed[Token]):
    pass


class NewToken(Asked):
    name: str = Field(max_length=255)
    role: Role
    expires_in: float | str | None = Field(default=None, description="seconds, or text such as `30d`; absent: never")
    labels: Tags = Field(default_factory=dict, description="put on every series that it writes; for the role writer")
    rate: int | None = Field(default=None, description="samples a second that it may write; for the role writer")
    series_max: int | None = Field(default=None, description="series with its labels; for the role writer")


class TokenChange(Asked):
    """What to change; a field that is not sent stays as it is, and null lifts the bound."""

    labels: Tags | None = None
    rate: int | None = None
    series_max: int | None = None


class MadeToken(Token):
    token: str = Field(description="the token itself, shown this once")

    @classmethod
    def with_text(cls, token: people.Token, text: str) -> MadeToken:
        return cls(**_token_fields(token), token=text)


class AuditRow(Shape):
    id: int
    at: str
    actor: str
    address: str
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @classmethod
    def of(cls, row: people.AuditRow) -> AuditRow:
        entry = row.entry
        return cls(
            id=row.id,
            at=rfc3339(entry.at_ms),
            actor=entry.actor.name,
            address=entry.actor.address,
            action=entry.action,
            target=entry.target,
            before=_plain(entry.before),
            after=_plain(entry.after),
        )


def _plain(side: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if side is None else dict(side)


class AuditList(Listed[AuditRow]):
    pass


# backups


class NewBackup(Asked):
    to: str | None = Field(
        default=None,
        min_length=1,
        max_length=1_000,
        description="a folder of the server, or s3://bucket/prefix; the setting backup.to unless told",
    )


class BackupProgress(Shape):
    phase: Literal["starting", "state", "samples", "checking"]
    done: int = Field(description="rows; while it checks, chunks")
    total: int
    written: int = Field(description="bytes")


class Backup(Shape):
    """One attempt to make a backup."""

    id: int
    name: str = Field(description="its id in the place, for `tocsin restore`; empty until it is whole")
    place: str
    state: BackupState
    started_by: str
    started_at: str
    finished_at: str | None
    written: int = Field(description="bytes that were new in the place")
    stored: int = Field(description="bytes of all that it consists of, what it shares with earlier ones included")
    samples: int
    rows: int = Field(description="of the state: rules, alerts, history, people, audit and the like")
    checked: bool = Field(description="whether all that was written has been read back and compared")
    error: str
    progress: BackupProgress | None = Field(description="while it runs")

    @classmethod
    def of(cls, made: backup.Backup, progress: backup.BackupProgress | None) -> Backup:
        return cls(
            id=made.id,
            name=made.name,
            place=made.place,
            state=made.state,
            started_by=made.started_by,
            started_at=rfc3339(made.started_at_ms),
            finished_at=rfc3339_or_none(made.finished_at_ms),
            written=made.written,
            stored=made.stored,
            samples=made.samples,
            rows=made.rows,
            checked=made.state is BackupState.DONE,
            error=made.error,
            progress=None if progress is None else BackupProgress(**asdict(progress)),
        )


class BackupList(Listed[Backup]):
    default_place: str = Field(description="the setting backup.to; empty where there is none")


# scraping


class ScrapeJobBody(BaseModel):
    """One entry of Prometheus' `scrape_configs`, as JSON. Keys that are not listed here are Prometheus' own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    enabled: bool | None = Field(default=None, description="false: paused, and nothing of it is scraped")

    def config(self) -> dict[str, Any]:
        """The entry itself: what was sent, without what is tocsin's."""
        return {key: value for key, value in self.model_dump(exclude_unset=True).items() if key not in _OURS}


class NewScrapeJob(ScrapeJobBody):
    job_name: str


class ScrapeJobChange(ScrapeJobBody):
    """Keys that are sent are set, null takes one out. A secret that is sent as `<secret>` stays what it was."""

    version: int | None = Field(default=None, description="what you read; a change of somebody else's then wins")


_OURS = frozenset({"enabled", "version"})


class TargetCounts(Shape):
    up: int
    down: int
    unknown: int = Field(description="not asked yet")
    dropped: int = Field(description="left out by relabelling")


class ScrapeJob(Shape):
    id: int | None = Field(description="null for a job of the configuration file, which cannot be changed here")
    job_name: str
    source: Literal["file", "api"]
    enabled: bool
    version: int | None
    config: dict[str, Any] = Field(description="the entry as it was written, secrets masked")
    targets: TargetCounts
    errors: list[str] = Field(description="why it is not scraped, or why targets could not be found out")
    updated_at: str | None

    @classmethod
    def of(cls, view: JobView) -> ScrapeJob:
        stored = view.stored
        return cls(
            id=stored.id if stored else None,
            job_name=view.name,
            source="api" if stored else "file",
            enabled=view.enabled,
            version=stored.version if stored else None,
            config=dict(view.config),
            targets=TargetCounts(
                **{health.value: view.counts.get(health, 0) for health in Health}, dropped=view.dropped
            ),
            errors=list(view.errors),
            updated_at=rfc3339(stored.updated_at_ms) if stored else None,
        )


class ScrapeJobList(Listed[ScrapeJob]):
    pass


class Target(Shape):
    job_name: str
    state: Literal["active", "dropped"]
    url: str | None = Field(description="null for a dropped one")
    labels: Tags = Field(description="what its series get")
    discovered: Tags = Field(description="what it was before relabelling")
    health: Health | None
    error: str = Field(description="why the last scrape failed, or why the target is dropped")
    warning: str = Field(description="what of the last answer was refused")
    scraped_at: str | None
    duration: Seconds | None = Field(description="seconds that the last scrape took")
    samples: int = Field(description="samples in the last answer")
    kept: int = Field(description="samples that relabelling left of them")
    missed: int = Field(description="scrapes left out because the one before took too long")
    interval: Seconds | None
    timeout: Seconds | None

    @classmethod
    def of(cls, one: Watched | Dropped) -> Target:
        return cls._dropped(one) if isinstance(one, Dropped) else cls._active(one)

    @classmethod
    def _active(cls, watched: Watched) -> Target:
        target, last = watched.target, watched.last
        return cls(
            job_name=target.job,
            state="active",
            url=target.url,
            labels=target.labels.as_dict(),
            discovered=target.discovered.as_dict(),
            health=last.health,
            error=last.error,
            warning=last.warning,
            scraped_at=rfc3339(last.at_ms) if last.at_ms else None,
            duration=last.duration_s if last.at_ms else None,
            samples=last.samples,
            kept=last.kept,
            missed=watched.missed,
            interval=target.interval_ms / 1_000,
            timeout=target.timeout_ms / 1_000,
        )

    @classmethod
    def _dropped(cls, dropped: Dropped) -> Target:
        return cls(
            job_name=dropped.job,
            state="dropped",
            url=None,
            labels={},
            discovered=dropped.discovered.as_dict(),
            health=None,
            error=dropped.reason,
            warning="",
            scraped_at=None,
            duration=None,
            samples=0,
            kept=0,
            missed=0,
            interval=None,
            timeout=None,
        )


class TargetList(Listed[Target]):
    pass


# the server


class About(Shape):
    version: str
    started_at: str
    smtp: bool = Field(description="whether e-mail is set up")
    encrypted: bool = Field(description="whether the data directory is encrypted")
    host_interval: Seconds | None = Field(description="seconds between readings of this machine; null: not read")


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error, with a sentence for a person",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
