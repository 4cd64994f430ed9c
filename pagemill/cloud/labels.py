"""Labels of runs, by which a bill can be split."""

import re
from collections.abc import Mapping

LABEL_CHARACTERS = 63
LABELS_PER_RUN = 64
PRESET_LABEL = "pagemill-preset"
_NOT_IN_LABELS = re.compile(r"[^a-z0-9_-]")


def labels_for(pipeline: str, preset: str, run: str, labels: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the labels of a run, as Google Cloud takes them: by them the bill can be split.

    Keys begin with a letter; keys and values are of lower-case letters, digits, dashes and underscores, at most 63.
    Labels of the settings come first where there are too many; ours stay.

    Args:
        pipeline: Name of the pipeline.
        preset: Name of the preset.
        run: Name of the run; "" for none.
        labels: Further labels, from the settings.
    """
    own = {"app": "pagemill", "pagemill-pipeline": pipeline, PRESET_LABEL: preset, "pagemill-run": run}
    further = {_label_key(key): _label(value) for key, value in (labels or {}).items()}
    kept = {key: value for key, value in further.items() if key and key not in own}
    room = LABELS_PER_RUN - len(own)
    return dict(list(kept.items())[:room]) | {key: _label(value) for key, value in own.items() if value}


def _label(text: str) -> str:
    return _NOT_IN_LABELS.sub("-", text.lower())[:LABEL_CHARACTERS]


def _label_key(text: str) -> str:
    """Return a key; "" where nothing is left that one could begin with."""
    return re.sub(r"^[^a-z]+", "", _label(text))
