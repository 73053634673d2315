from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.app.config import Settings, load_settings, walk
from tocsin.app.reference import settings_page
from tocsin.model.duration import DAY_MS
from tocsin.model.errors import UserError


def write(folder: Path, text: str) -> Path:
    path = folder / "tocsin.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_anything_all_settings_are_at_their_defaults() -> None:
    assert load_settings(None, {}) == Settings()


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    path = write(tmp_path, '[retention]\nraw = "2d"\n[smtp]\nhost = "m"\nfrom = "a@b.c"\nto = ["x@y.z"]\n')
    settings = load_settings(path, {})
    assert settings.retention.raw == 2 * DAY_MS
    assert settings.smtp.from_ == "a@b.c"
    assert settings.smtp.to == ("x@y.z",)


def test_the_environment_wins_over_the_file_and_flags_over_both(tmp_path: Path) -> None:
    path = write(tmp_path, '[server]\nlisten = "127.0.0.1:1"\n[log]\nlevel = "debug"\n')
    environment = {"TOCSIN_SERVER__LISTEN": "127.0.0.1:2", "TOCSIN_LOG__FORM": "json"}
    settings = load_settings(path, environment, {("server", "listen"): "127.0.0.1:3", ("log", "form"): None})
    assert settings.server.listen == "127.0.0.1:3"
    assert (settings.log.level, settings.log.form) == ("debug", "json")


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("TOCSIN_SMTP__TO", '["a@b.c", "d@e.f"]', lambda settings: settings.smtp.to == ("a@b.c", "d@e.f")),
        ("TOCSIN_SMTP__PORT", "2525", lambda settings: settings.smtp.port == 2525),
        ("TOCSIN_HOST__ENABLED", "false", lambda settings: settings.host.enabled is False),
        ("TOCSIN_HOST__ENABLED", "True", lambda settings: settings.host.enabled is True),
        ("TOCSIN_HOST__INTERVAL", "10s", lambda settings: settings.host.interval == 10_000),
        ("TOCSIN_RETENTION__RAW", "100y", lambda settings: settings.retention.raw == 36_500 * DAY_MS),
    ],
)
def test_the_environment_is_read_as_the_setting_wants_it(name: str, text: str, read: object) -> None:
    host = {"TOCSIN_SMTP__HOST": "mail.example.org"} if "SMTP" in name else {}
    assert callable(read)
    assert read(load_settings(None, {name: text, **host}))


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"TOCSIN_SMPT__HOST": "x"}, "did you mean smtp?"),
        ({"TOCSIN_SMTP__HOSST": "x"}, "did you mean host?"),
        ({"TOCSIN_SMTP__PORT": "many"}, "smtp.port"),
        ({"TOCSIN_SMTP__TO": '["a"'}, "write a list as JSON"),
        ({"TOCSIN_HOST__INTERVAL": "soon"}, "'soon' is not a duration"),
        ({"TOCSIN_DATADIR": "x"}, "did you mean TOCSIN_DATA_DIR?"),
        ({"TOCSIN_LOG__LEVEL": "loud"}, "log.level"),
        ({"TOCSIN_SERVER__LISTEN": "nowhere"}, "'nowhere' is no address"),
        ({"TOCSIN_SMTP__HOST": "m", "TOCSIN_SMTP__SECURITY": "none", "TOCSIN_SMTP__USERNAME": "u"}, "unencrypted"),
    ],
)
def test_a_mistake_is_named(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=r".") as caught:
        load_settings(None, environment)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[smtp", "is not TOML"),
        ("smtp = 3", "must be a section"),
        ("[stroe]\n", "did you mean store?"),
        ("[retention]\nraw = -1\n", "retention.raw"),
    ],
)
def test_a_mistake_in_the_file_names_the_file(tmp_path: Path, text: str, sentence: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_settings(path, {})
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot read"):
        load_settings(tmp_path / "none.toml", {})


def test_a_password_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n", encoding="utf-8")
    environment = {
        "TOCSIN_SMTP__HOST": "m",
        "TOCSIN_SMTP__USERNAME": "u@example.org",
        "TOCSIN_SMTP__PASSWORD_FILE": str(secret),
    }
    assert load_settings(None, environment).smtp.password == "s3cret"


def test_the_url_of_the_sample_store_is_checked_and_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("clickhouse://u:s3cret@db/m\n", encoding="utf-8")
    settings = load_settings(None, {"TOCSIN_STORE__URL_FILE": str(secret)})
    assert settings.store.url == "clickhouse://u:s3cret@db/m"
    assert "s3cret" not in repr(settings)
    secret.write_text("clickhouse://u:s3cret@db/m?secur=1", encoding="utf-8")
    with pytest.raises(UserError, match="there is no option secur; did you mean secure") as caught:
        load_settings(None, {"TOCSIN_STORE__URL_FILE": str(secret)})
    assert "s3cret" not in str(caught.value)


def test_every_setting_says_what_it_is_for() -> None:
    assert [f"{section}.{key}" for section, key, _, meta in walk(Settings()) if not meta.get("doc")] == []


def test_the_settings_page_is_what_the_code_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
    assert page.read_text(encoding="utf-8") == settings_page(), "run `make docs`"
