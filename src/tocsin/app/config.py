"""Settings: defaults, then one TOML file, then the environment, then flags; the only place that composes them.

Every key is also an environment variable: `[smtp] host` is `TOCSIN_SMTP__HOST`, lists as JSON. A secret
`password` may come from the file that `password_file` names. A key that does not exist is an error which
names the nearest one that does.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

import msgspec

from tocsin.access.settings import AuthSettings
from tocsin.alerts.settings import AlertSettings
from tocsin.api.settings import ServerSettings
from tocsin.ingest.settings import GraphiteSettings, HostSettings, IngestSettings, ScrapeSettings, StatsdSettings
from tocsin.model.duration import Duration
from tocsin.model.errors import UserError
from tocsin.notify.settings import DeliverySettings, SmtpSettings, check_delivery, check_smtp
from tocsin.promql.settings import QuerySettings
from tocsin.rules.settings import RulesSettings
from tocsin.store.backup.settings import BackupSettings
from tocsin.store.samples.address import parse_address
from tocsin.store.settings import RetentionSettings, StoreSettings, check_encryption

ENV_PREFIX = "TOCSIN_"
NOT_SETTINGS = ("TOCSIN_CONFIG", "TOCSIN_DATA_DIR", "TOCSIN_ADMIN_PASSWORD")


@dataclass(frozen=True, slots=True)
class StateSettings:
    """Where rules, alerts, history, people and audit are kept."""

    url: str = field(
        default="",
        repr=False,
        metadata={
            "doc": "`postgresql://user:password@host/database`; empty: SQLite in the data directory",
            "secret": True,
        },
    )
    url_file: str = field(default="", metadata={"doc": "a file that holds the URL, to keep its password out of here"})


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What tocsin writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = field(
        default="info", metadata={"doc": "`debug`, `info`, `warning` or `error`"}
    )
    form: Literal["text", "json"] = field(default="text", metadata={"doc": "`text` for people, `json` for machines"})


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be set; frozen, and replaced as a whole on reload."""

    server: ServerSettings = field(default_factory=ServerSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    state: StateSettings = field(default_factory=StateSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    host: HostSettings = field(default_factory=HostSettings)
    scrape: ScrapeSettings = field(default_factory=ScrapeSettings)
    graphite: GraphiteSettings = field(default_factory=GraphiteSettings)
    statsd: StatsdSettings = field(default_factory=StatsdSettings)
    query: QuerySettings = field(default_factory=QuerySettings)
    rules: RulesSettings = field(default_factory=RulesSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    smtp: SmtpSettings = field(default_factory=SmtpSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    backup: BackupSettings = field(default_factory=BackupSettings)
    log: LogSettings = field(default_factory=LogSettings)


def load_settings(
    path: Path | None, environment: Mapping[str, str], flags: Mapping[tuple[str, str], Any] | None = None
) -> Settings:
    """Raises UserError that names the file or variable, the key, and what is wrong with it."""
    settings = Settings()
    if path is not None:
        settings = _apply(settings, _read_toml(path), str(path))
    settings = _apply(settings, _from_environment(environment), "the environment")
    for (section, key), value in (flags or {}).items():
        if value is not None:
            settings = _apply(settings, {section: {key: value}}, "the command line")
    settings = _read_secret_files(settings)
    if settings.store.url:
        parse_address(settings.store.url)
    check_encryption(settings.store)
    check_smtp(settings.smtp)
    check_delivery(settings.delivery)
    return settings


def key_of(name: str) -> str:
    """The key of a field: `from_` is `from`, which Python keeps for itself."""
    return name.removesuffix("_")


def walk(settings: Settings) -> Iterator[tuple[str, str, Any, Mapping[str, Any]]]:
    """(section, key, value, the field's metadata) of every setting, in the order of the reference page."""
    for section in fields(settings):
        part = getattr(settings, section.name)
        for each in fields(part):
            yield section.name, key_of(each.name), getattr(part, each.name), each.metadata


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}.") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, text in environment.items():
        if name.startswith(ENV_PREFIX) and name not in NOT_SETTINGS:
            section, separator, key = name.removeprefix(ENV_PREFIX).lower().partition("__")
            if not separator:
                wanted = [*NOT_SETTINGS, *(f"{ENV_PREFIX}{one.upper()}__…" for one in _sections())]
                raise UserError(f"{name} is not a setting{_nearest(name, wanted)}")
            found.setdefault(section, {})[key] = text
    return found


def _apply(settings: Settings, data: Mapping[str, Any], source: str) -> Settings:
    for section, values in data.items():
        if section not in _sections():
            raise UserError(f"{source}: there is no section [{section}]{_nearest(section, _sections())}")
        if not isinstance(values, Mapping):
            raise UserError(f"{source}: {section} must be a section, written [{section}].")
        part = _apply_section(getattr(settings, section), section, values, source)
        settings = replace(settings, **{section: part})
    return settings


def _apply_section(part: Any, section: str, values: Mapping[str, Any], source: str) -> Any:
    assert is_dataclass(part)
    assert not isinstance(part, type)
    names = {key_of(each.name): each.name for each in fields(part)}
    hints = get_type_hints(type(part))
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in names:
            raise UserError(f"{source}: there is no setting {section}.{key}{_nearest(key, list(names))}")
        changes[names[key]] = _convert(value, hints[names[key]], f"{source}: {section}.{key}")
    try:
        return replace(part, **changes)
    except UserError as error:
        raise UserError(f"{source}: [{section}] {error}") from error


def _convert(value: Any, wanted: Any, where: str) -> Any:
    """`value` as the type that the field wants; text is read as that type, lists as JSON."""
    if wanted is Duration:
        try:
            return Duration.parse(value)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    if isinstance(value, str) and wanted is not str:
        text = value
        value = text.lower() if wanted is bool else text
        if not text or text[0] in "[{":
            try:
                value = msgspec.json.decode(text)
            except msgspec.DecodeError as error:
                raise UserError(f'{where}: write a list as JSON, such as ["one", "two"].') from error
    try:
        return msgspec.convert(value, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {error}.") from error


def _read_secret_files(settings: Settings) -> Settings:
    for section in fields(settings):
        part = getattr(settings, section.name)
        names = {each.name for each in fields(part)}
        for name in names:
            path = getattr(part, f"{name}_file", "") if f"{name}_file" in names else ""
            if path:
                try:
                    text = Path(path).read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise UserError(f"{section.name}.{name}_file: cannot read {path}: {error.strerror}.") from error
                part = replace(part, **{name: text})
        settings = replace(settings, **{section.name: part})
    return settings


def _sections() -> list[str]:
    return [each.name for each in fields(Settings)]


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}."
