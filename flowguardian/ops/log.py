"""Logs: JSON lines to a dated file of this process, readable lines to stderr, both UTF-8.

Rule: logs are for eyes; nothing counts them but the supervisor's watch for records at WARNING or above.
One process per file, date and number in its name, so a file is never renamed. Each line carries the run id
and the last journal row its process knew. Records of libraries (standard logging) and warnings take the
same way.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import structlog
from structlog.typing import EventDict, Processor

from flowguardian.ops.growing_file import FILE_BYTES, FILES, GrowingFile

SEVERITIES: dict[str, str] = {
    "DEBUG": "for the developer; never needed to understand a run",
    "INFO": "something expected happened (start, stop, checkpoint, an entry refused by a guard)",
    "WARNING": "unexpected, handled, nothing lost; shown in the report, does not decide it",
    "ERROR": "a fault: something was lost or could not be done; the run cannot be accepted",
    "CRITICAL": "this process cannot go on; the run cannot be accepted",
}
"""What each level means. A refusal by a guard is a journal row and INFO at most."""


class DatedFile(logging.Handler):
    """Appends JSON lines to `process-YYYYMMDD-PID.jsonl`; a new day or a large file begins the next."""

    def __init__(
        self, directory: Path, process: str, *, max_bytes: int = FILE_BYTES, max_files: int = FILES
    ) -> None:
        super().__init__()
        self._process = process
        self._file = GrowingFile(directory, f"{process}-", ".jsonl", max_bytes=max_bytes, max_files=max_files)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a failure is reported on stderr by the logging module, never swallowed."""
        try:
            day = datetime.fromtimestamp(record.created, UTC).strftime("%Y%m%d")
            self._file.write(f"{self._process}-{day}-{os.getpid()}", self.format(record) + "\n")
        except Exception:  # noqa: BLE001  (logging's own contract: handleError reports it)
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        with self.lock or threading.RLock():
            self._file.close()
        super().close()


_seq: list[Callable[[], int]] = []


def tell_seq(seq: Callable[[], int]) -> None:
    """From now on each record of this process carries the journal row that `seq` says it has come to."""
    _seq[:] = [seq]


def configure_logging(
    process: str,
    log_dir: Path | None = None,
    *,
    run_id: str = "",
    console_level: str = "INFO",
    file_level: str = "DEBUG",
) -> None:
    """Set up logging of this process; calling it again replaces the earlier set-up.

    Uncaught exceptions of the main thread, of threads and of destructors become CRITICAL records.
    """
    force_utf8()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.StackInfoRenderer(),
        _identity(process, run_id),
    ]
    handlers: list[logging.Handler] = [_console(shared, console_level)]
    if log_dir is not None:
        handlers.append(_file(shared, log_dir, process, file_level))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(min(logging.getLevelName(console_level), logging.getLevelName(file_level)))
    for chatty in ("asyncio", "matplotlib", "numba", "urllib3", "uvicorn", "websockets"):
        logging.getLogger(chatty).setLevel(logging.INFO)
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _log_uncaught_once()


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; `name` is the module that speaks."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def force_utf8() -> None:
    """Make stdout and stderr UTF-8 whatever the console's code page is (cp949 cannot print every sign)."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")


def report_uncaught(report: Callable[[str, BaseException], None]) -> Callable[[], None]:
    """Send uncaught exceptions of this process (main, threads, destructors) to `report` as well.

    The usual traceback on stderr stays. Returns a function that restores the earlier hooks.
    """
    before = sys.excepthook, threading.excepthook, sys.unraisablehook

    def in_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, KeyboardInterrupt):
            report("main thread", error)
        before[0](kind, error, trace)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            report(f"thread {args.thread.name if args.thread else '?'}", args.exc_value)
        before[1](args)

    def in_destructor(args: sys.UnraisableHookArgs) -> None:
        if args.exc_value is not None:
            report(f"unraisable in {args.object!r}"[:200], args.exc_value)
        before[2](args)

    sys.excepthook, threading.excepthook, sys.unraisablehook = in_main, in_thread, in_destructor

    def restore() -> None:
        sys.excepthook, threading.excepthook, sys.unraisablehook = before

    return restore


_hooked: list[Callable[[], None]] = []


def _log_uncaught_once() -> None:
    if _hooked:
        return

    def report(where: str, error: BaseException) -> None:
        get("flowguardian").critical(
            "uncaught exception", where=where, exc_info=(type(error), error, error.__traceback__)
        )

    _hooked.append(report_uncaught(report))


def _identity(process: str, run_id: str) -> Processor:
    pid = os.getpid()

    def add(_logger: object, _method: str, event: EventDict) -> EventDict:
        event.update(run_id=run_id, process=process, pid=pid, seq=_seq[0]() if _seq else 0)
        return event

    return add


def _console(shared: list[Processor], level: str) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_identity,
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty(),
                    timestamp_key="ts",
                    exception_formatter=structlog.dev.plain_traceback,
                ),
            ],
        )
    )
    return handler


def _file(shared: list[Processor], directory: Path, process: str, level: str) -> logging.Handler:
    handler = DatedFile(directory, process)
    handler.setLevel(level)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=_dump),
            ],
        )
    )
    return handler


def _without_identity(_logger: object, _method: str, event: EventDict) -> EventDict:
    # The console belongs to one process of one run; the run id still opens the line.
    event.pop("process", None)
    event.pop("pid", None)
    event.pop("seq", None)
    return event


def _dump(value: object, **_settings: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)
