"""Nougat, unmodified: the installed package's own preparation, inference and clean-up, fed in batches."""

import contextlib
import dataclasses
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from pagemill.errors import UserError
from pagemill.ocr.checkpoint import WEIGHTS, Checkpoint
from pagemill.ocr.engine import EngineLost, PageText, Pixels
from pagemill.ocr.words import provide_word_list
from pagemill.records import Reason, Status

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    import transformers
    from nougat import NougatModel
    from nougat.model import SwinEncoder
    from nougat.postprocessing import markdown_compatible
    from nougat.transforms import test_transform
    from nougat.utils.device import move_to_device

ENGINE_NAME = "nougat"
# A page is blank when the means of its squares of pixels differ less than this, in gray levels of
# 256: a full stop in print makes 36, the noise and shade of a scanner's empty sheet less than 20.
BLANK_CONTRAST = 24
BLANK_SQUARE_PIXELS = 4
CPU_BATCH_SIZE = 8  # decoding is bound by reading the weights: pages together cost little more than one
CUDA_PAGES_PER_GIGABYTE = 0.3  # nougat.utils.device.default_batch_size
UNREADABLE = "[MISSING_PAGE_POST]"  # what Nougat's clean-up leaves of a page that was nothing but loops


@dataclasses.dataclass(frozen=True, slots=True)
class PagePreparer:
    """Nougat's `prepare_input` without the model around it, so that children stay small.

    The attributes are those that `SwinEncoder.prepare_input` asks its encoder for. A page without ink
    is not prepared: stock Nougat shows it to the model, which then writes whatever comes to its mind.
    """

    input_size: tuple[int, int]  # height, width in pixels
    align_long_axis: bool
    to_tensor = staticmethod(test_transform)
    crop_margin = staticmethod(SwinEncoder.crop_margin)

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "PagePreparer":
        """Read what the preparation depends on from the checkpoint's configuration."""
        config = json.loads((checkpoint.path / "config.json").read_text())
        height, width = config.get("input_size", (896, 672))
        return cls((height, width), config.get("align_long_axis", False))

    def __call__(self, image: Image.Image) -> Pixels | None:
        """Return float32 [3, height, width], or None for a page without ink.

        Raises:
            ValueError: When Nougat cannot make an input of the image.
        """
        if is_blank(image):
            return None
        tensor = SwinEncoder.prepare_input(self, image, random_padding=False)
        if tensor is None:
            raise ValueError("Nougat takes nothing from this image")
        return tensor.numpy()  # type: ignore[no-any-return]


def is_blank(image: Image.Image) -> bool:
    """Say whether a page bears no ink: it is all of one colour, but for a scanner's noise."""
    squares = np.asarray(image.convert("L").reduce(BLANK_SQUARE_PIXELS))
    return int(squares.max()) - int(squares.min()) < BLANK_CONTRAST


class NougatEngine:
    """A Nougat model on one device."""

    name = ENGINE_NAME

    def __init__(self, model: Any) -> None:
        self.model = model
        self.max_length = int(model.config.max_length)
        tokenizer = model.decoder.tokenizer
        self.eos, self.pad, self.bos = tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id

    @property
    def default_batch_size(self) -> int:
        """How many pages at a time suit the device: on CUDA as stock Nougat has it, but by the free memory."""
        if self.model.device.type == "cuda":
            free_bytes, _ = torch.cuda.mem_get_info(self.model.device)
            return max(1, int(free_bytes / 1024**2 / 1000 * CUDA_PAGES_PER_GIGABYTE))
        free_bytes = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(1, min(CPU_BATCH_SIZE, free_bytes // 2 // self._scores_bytes))

    @property
    def _scores_bytes(self) -> int:
        """What a page takes at most while `model.inference` holds every step's scores, and stacks them once more."""
        return 2 * 4 * self.max_length * len(self.model.decoder.tokenizer)

    def read(self, pages: Sequence[Pixels]) -> list[PageText]:
        """Read a batch of pages: the text of each is what `model.inference` gives for this batch.

        Raises:
            MemoryError: The batch does not fit into the device's memory.
            EngineLost: The device is gone; nothing more can be read with it.
        """
        batch = torch.from_numpy(np.stack(pages))
        try:
            with torch.inference_mode(), _quietly():
                output = self.model.inference(image_tensors=batch, early_stopping=True)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise MemoryError(str(error)) from error
        except torch.AcceleratorError as error:
            raise EngineLost(str(error)) from error
        results = zip(output["predictions"], output["sequences"].tolist(), output["repeats"], strict=True)
        return [self._page_text(text, sequence, repeats) for text, sequence, repeats in results]

    def _page_text(self, text: str, sequence: list[int], repeats: int | None) -> PageText:
        """Turn what `model.inference` says of one page into its text and status.

        `repeats` is None for a page without a loop, else the place where the text was cut before one.
        """
        tokens = sum(token not in (self.bos, self.eos, self.pad) for token in sequence)
        if repeats == 0 or text.strip() == UNREADABLE:
            return PageText("", tokens, Status.FAILED, Reason.REPETITION_FROM_START)
        text = markdown_compatible(text)
        if repeats is not None:
            return PageText(text, tokens, Status.TRUNCATED, Reason.REPETITION)
        if self.eos not in sequence[1 : self.max_length - 1]:  # at the limit the decoder is made to say its last word
            at_limit = len(sequence) >= self.max_length
            return PageText(text, tokens, Status.TRUNCATED, Reason.LENGTH_LIMIT if at_limit else Reason.REPETITION)
        if not text.strip():
            return PageText("", tokens, Status.EMPTY, Reason.NO_TEXT)
        return PageText(text, tokens, Status.OK)


def load(checkpoint: Checkpoint, device: str = "auto", threads: int = 0) -> NougatEngine:
    """Load the model of a verified checkpoint: bfloat16 on CUDA, float32 elsewhere.

    Weights are unpickled by `torch.load(weights_only=True)`, which makes tensors and nothing else.

    Raises:
        UserError: The files are no Nougat model, or the device is not there.
    """
    cuda = _wants_cuda(device)
    if threads:
        torch.set_num_threads(threads)
    provide_word_list()
    transformers.logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = NougatModel.from_pretrained(checkpoint.path, use_safetensors=False)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = f"these files are no Nougat model ({error})"
        mend = "give a checkpoint of nougat-ocr; facebook/nougat-* of the Hugging Face Hub is another format"
        raise UserError(str(checkpoint.path / WEIGHTS), reason, mend) from error
    if cuda:
        torch.cuda.set_device(device if ":" in device else "cuda:0")
    model = move_to_device(model, bf16=cuda, cuda=cuda)
    model.eval()
    return NougatEngine(model)


def _wants_cuda(device: str) -> bool:
    if device == "auto":
        return torch.cuda.is_available()
    kind = device.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UserError(f"device {device}", "is not known", "choose auto, cpu, cuda or cuda:<number>")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {device}", "this machine offers no CUDA device", "choose auto or cpu")
    return kind == "cuda"


class _NoLoopMessages(logging.Filter):
    """Keeps Nougat's own remarks about loops out of the log: the ledger says it page by page."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Found repetitions")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Run Nougat without its prints on stdout and its remarks on the root logger."""
    remarks = _NoLoopMessages()
    logging.root.addFilter(remarks)
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.removeFilter(remarks)
