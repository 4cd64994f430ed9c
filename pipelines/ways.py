"""The ways of OCR: what stands in a pipeline for the tasks that read a shard's pages."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

from pagemill.components.recognize_pages import recognize_pages
from pagemill.errors import UserError
from pagemill.pipelines.placing import Placement
from pagemill.pipelines.remote_ways import read_by_batch_prediction, read_by_endpoint
from pagemill.presets import Preset

# Called while a pipeline is made, with the PDFs of a shard and the pipeline's parameters that decide how pages are
# read; returns their pages. Parameters after the star become parameters of the pipeline.
Way = Callable[..., Any]


def read_by_worker(  # noqa: D417  # what a way alone has is described, for the pipeline's own description
    pdfs: Any,
    placement: Placement,
    *,
    batch_size: int = 0,
    workers: int = 0,
    instances_per_gpu: int = 1,
    **parameters: Any,
) -> Any:
    """Read pages on a machine that is there for this shard alone.

    Args:
        batch_size: Pages a batch; 0 chooses by device and memory.
        workers: Processes with a model each; 0 for one a GPU, times instances_per_gpu.
        instances_per_gpu: Models on each GPU.
    """
    component = placement.gpu_component(recognize_pages)
    task = component(
        pdfs=pdfs, batch_size=batch_size, workers=workers, instances_per_gpu=instances_per_gpu, **parameters
    )
    return placement.gpu_task(task).outputs["pages"]


WAYS: dict[str, Way] = {
    "worker": read_by_worker,
    "endpoint": read_by_endpoint,
    "batch-prediction": read_by_batch_prediction,
}


def way_named(name: str) -> Way:
    """Return a way of OCR; raises UserError when there is none of that name."""
    if name not in WAYS:
        raise UserError(f"OCR {name}", "is not known", f"give one of {', '.join(WAYS)}")
    return WAYS[name]


def with_parameters_of(way: Way, preset: Preset, pipeline: Callable[..., None]) -> Callable[..., None]:
    """Return a pipeline's function that takes, after its own parameters, those of a way of OCR.

    Args:
        way: Its docstring describes them, in a section `Args:` that is its last.
        preset: Gives the defaults of those that are among its fields.
        pipeline: Its last parameter, `**of_way`, receives them. Its docstring ends with a section `Args:` too.
    """
    fields = dataclasses.asdict(preset)
    own = [each for each in inspect.signature(pipeline).parameters.values() if each.kind is not each.VAR_KEYWORD]
    of_way = [
        each.replace(default=fields.get(each.name, each.default))
        for each in inspect.signature(way).parameters.values()
        if each.kind is each.KEYWORD_ONLY
    ]

    @functools.wraps(pipeline)
    def whole(*values: Any) -> None:
        pipeline(**dict(zip([each.name for each in own + of_way], values, strict=True)))

    whole.__signature__ = inspect.Signature([*own, *of_way])  # type: ignore[attr-defined]
    _, _, described = (inspect.getdoc(way) or "").partition("\nArgs:\n")
    whole.__doc__ = f"{inspect.getdoc(pipeline)}\n{described}"
    return whole
