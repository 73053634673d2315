"""Structured logs: one event a line, as text for people or JSON for machines, to standard error."""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger


def get_log(room: str) -> FilteringBoundLogger:
    """A logger that names its room in each line: `log.info("rule saved", rule_id=3)`."""
    return cast("FilteringBoundLogger", structlog.get_logger(room=room))


def configure_logs(level: str = "info", form: str = "text", stream: Any = None) -> None:
    """Send structlog and the standard library's logging to one place. `form` is `text` or `json`."""
    out = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.UnicodeDecoder(),
    ]
    if form == "json":
        last: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _name_room, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for chatty in ("httpx", "httpcore", "alembic", "sqlalchemy", "uvicorn", "asyncio"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))
    for repeating in (
        "clickhouse_connect",
        "urllib3.connectionpool",
    ):  # they warn of each error that they also raise, with its SQL
        logging.getLogger(repeating).setLevel(logging.ERROR)


def _name_room(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The room of a line from the standard library's logging is the logger's name."""
    event["room"] = event["_record"].name
    return event


def _stay_quiet() -> None:
    """Until `configure_logs` is called, hand our lines to the standard library's logging, as a library does.

    structlog would print them on standard output, among a command's answer. A program that embeds us
    and has configured structlog keeps what it chose.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.dev.ConsoleRenderer(
                colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


if not structlog.is_configured():
    _stay_quiet()
