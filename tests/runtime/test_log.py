from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog

from tocsin.runtime.log import configure_logs, get_log

QUIETED = ("httpx", "httpcore", "alembic", "sqlalchemy", "uvicorn", "asyncio")


@pytest.fixture(autouse=True)
def _logging_is_put_back() -> Iterator[None]:
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in QUIETED}
    yield
    structlog.configure(**config)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, number in levels.items():
        logging.getLogger(name).setLevel(number)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def divide_by_zero() -> None:
    raise ZeroDivisionError("as planned")


def test_a_line_of_json_has_level_time_room_and_what_was_said() -> None:
    out = io.StringIO()
    configure_logs("info", "json", out)
    get_log("rules").info("rule saved", rule_id=3, name="High CPU Usage")
    (line,) = lines(out)
    written = datetime.fromisoformat(line.pop("timestamp"))
    assert written.utcoffset() is not None
    assert line == {"event": "rule saved", "level": "info", "room": "rules", "rule_id": 3, "name": "High CPU Usage"}


def test_a_logger_made_before_the_configuration_follows_it() -> None:
    log = get_log("rules")
    log.debug("before")
    out = io.StringIO()
    configure_logs("info", "json", out)
    log.info("after")
    assert [line["event"] for line in lines(out)] == ["after"]


def test_an_exception_is_one_line_with_its_traceback() -> None:
    out = io.StringIO()
    configure_logs("info", "json", out)
    try:
        divide_by_zero()
    except ZeroDivisionError:
        get_log("rules").exception("round failed", rule_id=3)
    (line,) = lines(out)
    assert (line["level"], line["room"], line["rule_id"]) == ("error", "rules", 3)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: as planned")


def test_the_standard_librarys_logging_joins_in() -> None:
    out = io.StringIO()
    configure_logs("info", "json", out)
    logging.getLogger("some.library").info("started on %s", "port 1", extra={"pid": 7})
    try:
        divide_by_zero()
    except ZeroDivisionError:
        logging.getLogger("elsewhere").exception("failed")
    started, failed = lines(out)
    assert (started["event"], started["level"], started["room"]) == ("started on port 1", "info", "some.library")
    assert started["pid"] == 7
    assert "timestamp" in started
    assert failed["exception"].endswith("ZeroDivisionError: as planned")


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("WARNING", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_left_out(level: str, heard: list[str]) -> None:
    out = io.StringIO()
    configure_logs(level, "json", out)
    for log in (get_log("rules"), logging.getLogger("elsewhere")):
        log.debug("line")
        log.info("line")
        log.warning("line")
        log.error("line")
    assert [line["level"] for line in lines(out)] == heard * 2


@pytest.mark.parametrize("name", QUIETED)
def test_chatty_libraries_are_heard_from_warning_on(name: str) -> None:
    out = io.StringIO()
    configure_logs("debug", "json", out)
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("trouble")
    assert [line["event"] for line in lines(out)] == ["trouble"]


def test_an_unknown_level_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        configure_logs("loud")


def test_text_is_for_people_and_without_colours_where_nobody_looks() -> None:
    out = io.StringIO()
    configure_logs("info", "text", out)
    get_log("rules").info("rule saved", rule_id=3)
    try:
        divide_by_zero()
    except ZeroDivisionError:
        get_log("rules").exception("round failed")
    said = out.getvalue()
    assert "rule saved" in said
    assert "rule_id=3" in said
    assert "room=rules" in said
    assert "ZeroDivisionError: as planned" in said
    assert "\x1b" not in said


def test_configuring_twice_does_not_say_everything_twice() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logs("info", "json", first)
    configure_logs("info", "json", second)
    get_log("rules").info("once")
    logging.getLogger("elsewhere").info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 2


async def test_what_is_bound_in_the_context_is_on_every_line_of_its_task() -> None:
    out = io.StringIO()
    configure_logs("info", "json", out)

    async def serve(request: str) -> None:
        structlog.contextvars.bind_contextvars(request=request)
        await asyncio.sleep(0)
        get_log("api").info("served")

    await asyncio.gather(serve("a"), serve("b"))
    assert sorted(line["request"] for line in lines(out)) == ["a", "b"]


def test_values_that_json_does_not_know_are_written_as_text() -> None:
    out = io.StringIO()
    configure_logs("info", "json", out)
    get_log("rules").info("odd", what={1, 2}, percent="100%")
    (line,) = lines(out)
    assert (line["what"], line["percent"]) == ("{1, 2}", "100%")


EMBEDDED = """
import {first}
import logging, sys
from tocsin.runtime.log import get_log
log = get_log("store")
log.info("not worth it")
log.warning("100% full", path="x", name="y")
"""


def embedded(first: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", EMBEDDED.format(first=first)], capture_output=True, text=True, check=True
    )


def test_before_the_configuration_warnings_go_to_standard_error_and_nothing_to_standard_output() -> None:
    done = embedded("io")
    assert done.stdout == ""
    assert done.stderr == "100% full name=y path=x room=store\n"


def test_a_program_that_configured_structlog_itself_keeps_its_choice() -> None:
    done = embedded("structlog; structlog.configure(processors=[structlog.processors.JSONRenderer()])")
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "100% full"
