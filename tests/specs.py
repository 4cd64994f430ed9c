"""What tests read off the specification of a compiled pipeline."""

from collections.abc import Mapping
from typing import Any

from pagemill.cloud.spec import component_of, tasks_in


def caching_of(spec: Mapping[str, Any]) -> dict[str, bool]:
    """Return, by name, whether each task that executes something may be taken from the cache."""
    return {
        name: task.get("cachingOptions", {}).get("enableCache", False)
        for name, task in tasks_in(spec)
        if "dag" not in component_of(spec, task)
    }
