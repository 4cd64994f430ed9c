"""The table of presets, where those look for it who submit; it stands in `pagemill.presets`, which imports nothing."""

from pagemill.presets import DEFAULTS, GPU_TASKS, PRESETS, SECRET, Preset, preset_named

__all__ = ["DEFAULTS", "GPU_TASKS", "PRESETS", "SECRET", "Preset", "preset_named"]
