"""Nougat's model: loaded from a verified checkpoint, with the table that makes its input of a page's pixels."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from pagemill.errors import UserError
from pagemill.ocr.checkpoint import WEIGHTS, Checkpoint
from pagemill.ocr.engine import Pixels
from pagemill.ocr.importing import large_imports

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
with large_imports(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    import transformers
    from nougat import NougatModel
    from nougat.transforms import test_transform

PRECISIONS = ("auto", "bf16", "fp32")
LEVELS = 256  # of a colour in a pixel


def load_model(checkpoint: Checkpoint, device: str = "auto", threads: int = 0, precision: str = "auto") -> NougatModel:
    """Load the model of a verified checkpoint.

    Weights are unpickled by `torch.load(weights_only=True)`, which makes tensors and nothing else.

    Args:
        checkpoint: The model's files.
        device: "auto", "cpu", "cuda" or "cuda:<n>".
        threads: CPU threads of torch; 0 leaves the choice to it.
        precision: "bf16", "fp32", or "auto" for what stock Nougat takes: bf16 on CUDA, fp32 elsewhere.

    Raises:
        UserError: The files are no Nougat model, or there is no such device or precision.
    """
    place = _place(device)
    dtype = _dtype(precision, place)
    if threads:
        torch.set_num_threads(threads)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    transformers.logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = NougatModel.from_pretrained(checkpoint.path, use_safetensors=False)
    except MemoryError:
        raise
    except Exception as error:  # a broken tokenizer raises no less than that
        reason = f"these files are no Nougat model ({error})"
        mend = "give a checkpoint of nougat-ocr; facebook/nougat-* of the Hugging Face Hub is another format"
        raise UserError(str(checkpoint.path / WEIGHTS), reason, mend) from error
    return model.to(device=place, dtype=dtype).eval()


class PixelTable:
    """Nougat's normalisation of pixels, done on the model's device by looking up what it makes of each level."""

    def __init__(self, model: Any) -> None:
        weights = next(model.parameters())
        self.table = normalisation().to(device=weights.device, dtype=weights.dtype).flatten()
        self.offsets = LEVELS * torch.arange(3, device=weights.device).view(3, 1, 1)

    def __call__(self, pages: Sequence[Pixels]) -> torch.Tensor:
        """Return the model's input of some pages: [pages, 3, height, width], in the model's type and on its device."""
        pixels = torch.from_numpy(np.stack(pages))
        if self.table.is_cuda:
            pixels = pixels.pin_memory().to(self.table.device, non_blocking=True)
        return self.table[pixels.long() + self.offsets]


def normalisation() -> torch.Tensor:
    """Return float32 [3, 256]: what Nougat's `test_transform` makes of each level of red, green and blue."""
    every_level = np.repeat(np.arange(LEVELS, dtype=np.uint8).reshape(1, LEVELS, 1), 3, axis=2)
    return test_transform(every_level)[:, 0]  # type: ignore[no-any-return]


def _place(device: str) -> torch.device:
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (number and (kind != "cuda" or not number.isdecimal())):
        raise UserError(f"device {device}", "is not known", "choose auto, cpu, cuda or cuda:<number>")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {device}", "this machine offers no CUDA device", "choose auto or cpu")
    if kind == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if int(number or 0) >= torch.cuda.device_count():
        mend = f"choose a number below {torch.cuda.device_count()}"
        raise UserError(f"device {device}", "this machine has no such CUDA device", mend)
    return torch.device("cuda", int(number or 0))


def _dtype(precision: str, place: torch.device) -> torch.dtype:
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision}", "is not known", f"choose one of: {', '.join(PRECISIONS)}")
    wants_bf16 = place.type == "cuda" if precision == "auto" else precision == "bf16"
    return torch.bfloat16 if wants_bf16 else torch.float32
