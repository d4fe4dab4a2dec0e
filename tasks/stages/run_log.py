"""What a flow run that fails writes into its log: of an error that the project raised on purpose, one line.

Prefect's engines write the traceback of whatever ends a run, twice: right for a defect, and 200 lines around the one
that matters for a bucket's name with a typing error. Filters on Prefect's loggers take them away; PCAKD_DEBUG leaves
them.
"""

import logging

from pcakd.environment import setting
from pcakd.errors import PcakdError

LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine", "prefect.flow_engine", "prefect.flows")
INVALID = ("ParameterTypeError", "ParameterBindError", "SignatureMismatchError")
"""Prefect's errors of a flow's parameters, by name: this module imports no Prefect."""
AFTERTHOUGHTS = ("Engine execution exited with unexpected exception", "Execution of flow run")
"""Beginnings of what the engine says after the run's own log has told the error."""
FORETHOUGHTS = "Parameter validation failed for flow"
"""Beginning of what Prefect says of wrong parameters, with all of them, before the engine says what is wrong."""


def tell_errors_in_one_line() -> None:
    """Put the filter on Prefect's loggers, once."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if one_line not in logger.filters:
            logger.addFilter(one_line)


def one_line(record: logging.LogRecord) -> bool:
    """Shorten a record of an error that needs no traceback; whether the record is to be kept."""
    message = str(record.msg)
    if record.name == "prefect.task_runs" and message.startswith("Finished in state"):
        # The flow's log tells the error of a task that failed; one error is one line at this level.
        _lower(record)
    if message.startswith(FORETHOUGHTS) and not setting("PCAKD_DEBUG"):
        return False
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    error = error or next((one for one in _errors_of(record) if type(one).__name__ in INVALID), None)
    if error is None or not _needs_no_traceback(error) or setting("PCAKD_DEBUG"):
        return True
    if message.startswith(AFTERTHOUGHTS):
        return False
    if record.name == "prefect.task_runs":
        _lower(record)
    record.msg, record.args = words(error), ()
    record.exc_info = record.exc_text = None
    return True


def words(error: BaseException) -> str:
    """An error's message in one line."""
    return " ".join(str(error).replace("\n - ", " ").split())


def _errors_of(record: logging.LogRecord) -> list[BaseException]:
    """The errors among a record's arguments."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return [one for one in arguments if isinstance(one, BaseException)]


def _lower(record: logging.LogRecord) -> None:
    record.levelno, record.levelname = logging.INFO, "INFO"


def _needs_no_traceback(error: BaseException) -> bool:
    """Whether it is told whole by its message. One that was raised from another error, as a defect in a worker is, has
    more to show."""
    if isinstance(error, PcakdError):
        return error.__cause__ is None
    return type(error).__name__ in INVALID
