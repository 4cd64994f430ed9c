"""Logs of servers: to stderr, an object of JSON a line, as Cloud Logging and other collectors read them."""

import datetime
import json
import logging


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON, with what `extra={"fields": {...}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        line = {"time": at, "severity": record.levelname, "message": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["message"] += "\n" + self.formatException(record.exc_info)
        return json.dumps(line)


def configure_log() -> None:
    """Log what pagemill says from INFO on, and what others say from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("pagemill").setLevel(logging.INFO)
    logging.getLogger("dbos").handlers = [logging.NullHandler()]  # without any, DBOS brings one that writes no JSON
