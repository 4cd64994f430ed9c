"""The compiled pipelines: where they lie, what parameters they take, whether they are fresh, and one made to order."""

import dataclasses
import importlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagemill.cloud.spec import parameters_in, read_documents
from pagemill.components import images
from pagemill.errors import UserError
from pagemill.presets import DEFAULTS, PRESETS, Preset

if TYPE_CHECKING:
    from pagemill.settings import ImageSettings  # takes longer to load than all the rest


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A pipeline in Python: the function that makes it of a preset and a way of OCR, and where it can run."""

    function: str
    backends: tuple[str, ...]
    preset: str = ""  # that compiled/ holds it for, where that is not the backend's default
    needs_gpus: bool = True  # of the preset's machines

    def default_preset(self, backend: str) -> Preset:
        """Return the machines that compiled/ holds the pipeline for."""
        return PRESETS[self.preset or DEFAULTS[backend]]


PIPELINES = {
    "book-dataset": Source("pagemill.pipelines.book_dataset:book_dataset", ("local", "vertex", "kfp")),
    "deck-review": Source("pagemill.pipelines.deck_review:deck_review", ("local", "vertex", "kfp"), needs_gpus=False),
    "deploy-nougat": Source("pagemill.pipelines.deploy_nougat:deploy_nougat", ("vertex",), "vertex-2xa100"),
    "undeploy-nougat": Source("pagemill.pipelines.deploy_nougat:undeploy_nougat", ("vertex",), "vertex-2xa100"),
}
BACKENDS = tuple(DEFAULTS)
DEFAULT_OCR = "worker"
FOLDER = Path(__file__).parent.parent / "compiled"

_CLOUD_PACKAGES = ("kfp", "google_cloud_pipeline_components")  # kfp, for kfp.kubernetes is a package of its own
_TYPES: dict[str, type] = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "BOOLEAN": bool}
_REGISTRY = re.compile(r"[\w.-]+(:\d+)?(/[\w.-]+)*", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a compiled pipeline; `default` is None where one must be given."""

    name: str
    type: type
    default: Any
    description: str


def pipelines_for(backend: str) -> list[str]:
    """Return the names of the pipelines that can run there."""
    return [name for name, source in PIPELINES.items() if backend in source.backends]


def path_of(pipeline: str, backend: str, folder: Path = FOLDER) -> Path:
    """Return where the YAML of a pipeline lies."""
    return folder / backend / f"{pipeline.replace('-', '_')}.yaml"


def parameters_of(pipeline: str, backend: str = "") -> list[Parameter]:
    """Read a pipeline's parameters from its YAML, those without a default first; raises UserError.

    Args:
        pipeline: Its name.
        backend: Whose defaults are meant; "" for the first that the pipeline can run on.
    """
    path = path_of(pipeline, backend or PIPELINES[pipeline].backends[0])
    if not path.exists():
        raise UserError(str(path), "is not there", "run `pagemill compile`")
    found = parameters_of_template(path).values()
    return sorted(found, key=lambda parameter: (parameter.default is not None, parameter.name))


def parameters_of_template(path: Path) -> dict[str, Parameter]:
    """Read the parameters of any compiled pipeline, by name."""
    spec, *_ = read_documents(path)
    return {name: _parameter(name, each) for name, each in parameters_in(spec).items()}


def compile_pipelines(folder: Path = FOLDER) -> list[Path]:
    """Compile every pipeline for the default preset of every backend into `folder` and return the files."""
    written = []
    for pipeline, source in PIPELINES.items():
        for backend in source.backends:
            path = path_of(pipeline, backend, folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            _compile(pipeline, source.default_preset(backend), DEFAULT_OCR, path)
            written.append(path)
    return written


def stale_pipelines() -> list[Path]:
    """Compile everything anew and return the committed files that are missing or differ."""
    with tempfile.TemporaryDirectory() as fresh:
        pairs = [(FOLDER / path.relative_to(fresh), path.read_bytes()) for path in compile_pipelines(Path(fresh))]
    return [path for path, content in pairs if not path.exists() or path.read_bytes() != content]


def template_for(pipeline: str, preset: Preset, ocr: str, settings: "ImageSettings", folder: Path) -> Path:
    """Write the YAML of a pipeline as it is to be submitted: for a preset, a way of OCR and images.

    What compiled/ holds is copied; anything else is compiled.

    Args:
        pipeline: Its name.
        preset: What it runs on.
        ocr: How pages are read.
        settings: Which images run.
        folder: Receives the file.

    Returns:
        The file.

    Raises:
        UserError: There is no such pipeline or way of OCR, the pipeline is not for the preset's backend, or an image
            is not named as registries name them.
    """
    if pipeline not in PIPELINES:
        raise UserError(f"pipeline {pipeline}", "is not known", f"give one of {', '.join(PIPELINES)}")
    if preset.backend not in PIPELINES[pipeline].backends:
        backends = " or ".join(PIPELINES[pipeline].backends)
        raise UserError(f"pipeline {pipeline}", f"does not run on {preset.backend}", f"give a preset of {backends}")
    _check_images(settings)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / path_of(pipeline, preset.backend).name
    committed = path_of(pipeline, preset.backend)
    default = PIPELINES[pipeline].default_preset(preset.backend)
    if (preset, ocr) == (default, DEFAULT_OCR) and committed.exists():
        path.write_bytes(committed.read_bytes())
    else:
        _compile(pipeline, preset, ocr, path)
    path.write_text(_with_images(path.read_text(), settings))
    return path


def _compile(pipeline: str, preset: Preset, ocr: str, path: Path) -> None:
    from kfp import compiler

    module, function = PIPELINES[pipeline].function.split(":")
    try:
        made = getattr(importlib.import_module(module), function)(preset, ocr)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _CLOUD_PACKAGES:
            raise
        raise UserError(
            f"preset {preset.name}", "needs packages that are not installed", "pip install 'pagemill[cloud]'"
        ) from None
    compiler.Compiler().compile(made, str(path))


def _check_images(settings: "ImageSettings") -> None:
    if not _REGISTRY.fullmatch(settings.registry):
        raise UserError(
            f"registry {settings.registry}", "is not one", "give host/path, as in europe-docker.pkg.dev/p/pagemill"
        )
    for name in images.NAMES:
        digest = getattr(settings, name)
        if digest and not _DIGEST.fullmatch(digest):
            raise UserError(f"images.{name} {digest}", "is no digest", "give sha256: and 64 hexadecimal digits")


def _with_images(text: str, settings: "ImageSettings") -> str:
    """Put other images in wherever one is named: in executors, and in the machines of custom jobs."""
    for name in images.NAMES:
        wanted = images.reference(name, settings.registry, getattr(settings, name))
        text = text.replace(images.reference(name), wanted)
    return text


def _parameter(name: str, spec: dict[str, Any]) -> Parameter:
    kind = _TYPES[spec["parameterType"]]
    default = kind(spec["defaultValue"]) if "defaultValue" in spec else None
    return Parameter(name, kind, default, spec.get("description", ""))
