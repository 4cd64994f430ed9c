"""The compiled pipelines: where they lie, what parameters they take, whether they are fresh."""

import dataclasses
import importlib
import tempfile
from pathlib import Path
from typing import Any

import yaml

from pagemill.errors import UserError

PIPELINES = {"book-dataset": "pagemill.pipelines.book_dataset:book_dataset"}
BACKENDS = ("vertex", "kfp")
FOLDER = Path(__file__).parent.parent / "compiled"

_TYPES: dict[str, type] = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "BOOLEAN": bool}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a compiled pipeline; `default` is None where one must be given."""

    name: str
    type: type
    default: Any
    description: str


def path_of(pipeline: str, backend: str, folder: Path = FOLDER) -> Path:
    """Return where the YAML of a pipeline lies."""
    return folder / backend / f"{pipeline.replace('-', '_')}.yaml"


def parameters_of(pipeline: str, backend: str = "kfp") -> list[Parameter]:
    """Read a pipeline's parameters from its YAML, those without a default first; raises UserError."""
    path = path_of(pipeline, backend)
    if not path.exists():
        raise UserError(str(path), "is not there", "run `pagemill compile`")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    spec = next(yaml.load_all(path.read_text(), loader))
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    found = [_parameter(name, each) for name, each in inputs.items()]
    return sorted(found, key=lambda parameter: (parameter.default is not None, parameter.name))


def compile_pipelines(folder: Path = FOLDER) -> list[Path]:
    """Compile every pipeline for every backend into `folder` and return the files."""
    written = []
    for pipeline in PIPELINES:
        for backend in BACKENDS:
            path = path_of(pipeline, backend, folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            _compile(pipeline, path)
            written.append(path)
    return written


def stale_pipelines() -> list[Path]:
    """Compile everything anew and return the committed files that are missing or differ."""
    with tempfile.TemporaryDirectory() as fresh:
        pairs = [(FOLDER / path.relative_to(fresh), path.read_bytes()) for path in compile_pipelines(Path(fresh))]
    return [path for path, content in pairs if not path.exists() or path.read_bytes() != content]


def _compile(pipeline: str, path: Path) -> None:
    from kfp import compiler

    module, function = PIPELINES[pipeline].split(":")
    compiler.Compiler().compile(getattr(importlib.import_module(module), function), str(path))


def _parameter(name: str, spec: dict[str, Any]) -> Parameter:
    kind = _TYPES[spec["parameterType"]]
    default = kind(spec["defaultValue"]) if "defaultValue" in spec else None
    return Parameter(name, kind, default, spec.get("description", ""))
