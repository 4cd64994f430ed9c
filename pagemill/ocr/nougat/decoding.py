"""Nougat's decoder fed continuously: pages join and leave at any step, and each is read as it would be alone."""

import dataclasses
import math
import os
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch

from pagemill.ocr.engine import Draft, EngineLost, PageInput
from pagemill.ocr.nougat.loading import PixelTable
from pagemill.ocr.nougat.loops import StopRule, loop_start
from pagemill.records import Reason, Status

CPU_BATCH_SIZE = 32
CUDA_BATCH_SIZE = 128
MEMORY_SHARE = 0.8  # of what is free
CUDA_ENCODER_BATCH_SIZE = 4  # pages that are encoded at a time, for each takes much memory; elsewhere more win nothing
DEAD_SHARE = 0.25  # rows of ended pages are computed on until they are so many, or others come in their place

CPU_MEMORY_FULL = "DefaultCPUAllocator"  # in the message of the RuntimeError that torch raises for it

Result = TypeVar("Result")
LayerCache = tuple[torch.Tensor, ...]  # keys and values of the text so far, keys and values of the image


@dataclasses.dataclass(slots=True)
class Page:
    """A page in flight, and two numbers for each of its steps."""

    key: Hashable
    tokens: list[int] = dataclasses.field(default_factory=list)  # without the start token
    maxima: list[float] = dataclasses.field(default_factory=list)  # the greatest score of each step
    ended: bool = False


@dataclasses.dataclass(slots=True)
class Rows:
    """What the decoder keeps of the pages in flight, a row each; the columns are their tokens, aligned at the right."""

    caches: list[LayerCache]  # each tensor [rows, heads, columns, size of a head]
    seen: torch.Tensor  # bool [rows, columns]: the page has a token there, and one that is looked at
    lengths: torch.Tensor  # int64 [rows]: how many tokens of the page are in the cache
    newest: torch.Tensor  # int64 [rows]: its last token, not yet in the cache

    def __len__(self) -> int:
        return len(self.newest)

    def trim(self, columns: int) -> None:
        """Forget all but the last columns."""
        if columns < self.seen.shape[1]:
            self.seen = self.seen[:, -columns:]
            self.caches = [
                (keys[:, :, -columns:], values[:, :, -columns:], *image) for keys, values, *image in self.caches
            ]

    def replace(self, kept: Sequence[int], fresh: "Rows | None" = None) -> None:
        """Forget all but these rows, and put others below that have no more columns; each tensor is copied once."""
        index = torch.tensor(kept, device=self.newest.device)
        for layer, olds in enumerate(self.caches):  # one by one: memory must hold one layer twice, not all of them
            news = fresh.caches[layer] if fresh else [None] * len(olds)
            self.caches[layer] = tuple(stacked(old, index, new) for old, new in zip(olds, news, strict=True))
        self.seen = stacked(self.seen, index, fresh.seen if fresh else None, columns=1)
        self.lengths = torch.cat([self.lengths[index], *([fresh.lengths] if fresh else [])])
        self.newest = torch.cat([self.newest[index], *([fresh.newest] if fresh else [])])


def stacked(old: torch.Tensor, index: torch.Tensor, new: torch.Tensor | None, columns: int = 2) -> torch.Tensor:
    """Return some rows of a tensor above another that has no more columns, with zeros on the left of its own.

    `columns` is the dimension that columns are counted in.
    """
    if new is None:
        return old.index_select(0, index)
    kept, lacking = len(index), old.shape[columns] - new.shape[columns]
    both = old.new_empty((kept + len(new), *old.shape[1:]))
    torch.index_select(old, 0, index, out=both[:kept])
    both[kept:].narrow(columns, 0, lacking).zero_()
    both[kept:].narrow(columns, lacking, new.shape[columns]).copy_(new)
    return both


class HandedOver(list[LayerCache]):
    """Caches on their way into the decoder, which makes longer ones: a layer's goes when the next is asked for."""

    def __getitem__(self, layer: Any) -> Any:
        if layer:
            self[layer - 1] = ()
        return super().__getitem__(layer)


class RowPositions:
    """Gives each row of a step the position of its own page, where the decoder takes one position for all rows."""

    def __init__(self, embedding: Any) -> None:
        self.rows: torch.Tensor | None = None  # None: the decoder is used by others, and left alone
        embedding.register_forward_hook(self._replace)

    def _replace(self, embedding: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor | None:
        if self.rows is None:
            return None
        last = embedding.num_embeddings - 1  # reached by ended pages alone
        return torch.nn.functional.embedding((self.rows[:, None] + embedding.offset).clamp(max=last), embedding.weight)


class ContinuousEngine:
    """A Nougat model that reads many pages at once: each gets what `model.inference` gives for it alone.

    The model is the unmodified one; what is done here is what `generate` does around it for a page: greedy
    choice without `<unk>`, end at `</s>`, at the greatest length or by Nougat's rule for loops. Of a step's
    scores a page keeps the greatest and its token. Whatever it raises, no page is in flight afterwards.

    Attributes:
        steps: How often the decoder has run.
        rows_computed: Rows in these runs, all together.
        rows_used: Those of them whose page had not ended.
    """

    name = "nougat"

    def __init__(self, model: Any) -> None:
        self.model, self.decoder = model, model.decoder.model
        self.tokenizer = model.decoder.tokenizer
        self.max_length = int(model.config.max_length)
        generation = self.decoder.generation_config
        start = generation.decoder_start_token_id
        self.start = generation.bos_token_id if start is None else start
        self.forced_end = generation.forced_eos_token_id
        self.eos, self.pad, self.unk = (getattr(self.tokenizer, f"{name}_token_id") for name in ("eos", "pad", "unk"))
        self.pixels = PixelTable(model)
        self.positions = RowPositions(self.decoder.model.decoder.embed_positions)
        self.steps = self.rows_computed = self.rows_used = 0
        self.drop()

    @property
    def default_batch_size(self) -> int:
        """How many pages fit into the free memory with the longest text, up to a number beyond which little is won."""
        device = self.model.device
        if device.type == "cuda":
            free_bytes, most = torch.cuda.mem_get_info(device)[0], CUDA_BATCH_SIZE
        else:
            free_bytes, most = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), CPU_BATCH_SIZE
        return max(1, min(most, int(MEMORY_SHARE * free_bytes / self.page_bytes)))

    @property
    def page_bytes(self) -> int:
        """What the caches of a page take at its greatest length, and one layer's once more while it is copied."""
        config = self.model.config
        pixels_a_position = (config.patch_size * 2 ** (len(config.encoder_layer) - 1)) ** 2
        positions = self.max_length + math.prod(config.input_size) // pixels_a_position
        size = 2 * self.decoder.config.d_model * positions * self.model.dtype.itemsize
        return int((config.decoder_layer + 1) * size)

    def admit(self, pages: Sequence[PageInput]) -> None:
        """Take pages in beside those in flight: encode them, and find their first token.

        Raises:
            MemoryError: They do not fit into the device's memory.
            EngineLost: The device is gone.
        """
        if pages:
            shielded(lambda: self._admit(pages), self.drop)

    def step(self) -> list[Draft]:
        """Find the next token of every page in flight, and return those that came to their end; raises as `admit`."""
        return shielded(self._step, self.drop)

    def drop(self) -> None:
        """Forget every page in flight."""
        self.rows: Rows | None = None
        self.pages: list[Page] = []  # row by row
        self.rule = StopRule()
        self.ready: list[Draft] = []  # ended with their first token

    def _admit(self, pages: Sequence[PageInput]) -> None:
        rows, maxima, tokens = self._first_step(self._encode(pages))
        joining = [Page(page.key) for page in pages]
        live = self._live()
        if self.rows and live:
            self._trim(live)
            self.rows.replace(live, rows)
            self.rule.keep(torch.tensor(live))
        else:
            self.rows, self.rule = rows, StopRule()
        self.pages = [self.pages[row] for row in live] + joining
        self.rule.join(torch.tensor(maxima))
        self.ready += self._record(joining, maxima, tokens, [False] * len(joining))

    def _step(self) -> list[Draft]:
        ready, self.ready = self.ready, []
        live = self._live()
        if not live:
            self.drop()
            return ready
        self._let_go(live)
        maxima, tokens = self._next_step()
        stopped = self.rule.push(torch.tensor(maxima)).tolist()
        return ready + self._record(self.pages, maxima, tokens, stopped)

    def _encode(self, pages: Sequence[PageInput]) -> torch.Tensor:
        """Return what the encoder makes of the pages, [pages, image positions, size]."""
        pixels = [page.pixels for page in pages]
        size = CUDA_ENCODER_BATCH_SIZE if self.model.device.type == "cuda" else 1
        parts = [pixels[first : first + size] for first in range(0, len(pixels), size)]
        return torch.cat([self.model.encoder(self.pixels(part)) for part in parts])

    def _first_step(self, image: torch.Tensor) -> tuple[Rows, list[float], list[int]]:
        """Show the decoder the start token of some pages."""
        start = torch.full((len(image), 1), self.start, device=image.device)
        seen = start != self.pad
        output = self._decode(start, seen, image, None)
        scores, tokens = self._best(output.logits)
        rows = Rows(list(output.past_key_values), seen, torch.ones_like(tokens), tokens)
        return rows, *self._to_host(scores, tokens)

    def _next_step(self) -> tuple[list[float], list[int]]:
        """Show the decoder the newest token of every page."""
        rows = self.rows
        assert rows, "there are pages in flight"
        seen = torch.cat([rows.seen, (rows.newest != self.pad)[:, None]], 1)
        keys = rows.caches[0][2]  # of the image: the decoder uses them again, and asks of the image for its size alone
        image = keys.new_zeros(1).expand(len(rows), keys.shape[2], keys.shape[1] * keys.shape[3])
        caches, rows.caches = HandedOver(rows.caches), []
        self.positions.rows = rows.lengths
        try:
            output = self._decode(rows.newest[:, None], seen, image, caches)
        finally:
            self.positions.rows = None
        scores, tokens = self._best(output.logits)
        self.rows = Rows(list(output.past_key_values), seen, rows.lengths + 1, tokens)
        return self._to_host(scores, tokens)

    def _decode(self, tokens: torch.Tensor, seen: torch.Tensor, image: torch.Tensor, caches: Any) -> Any:
        self.steps += 1
        self.rows_computed += len(tokens)
        return self.decoder(
            input_ids=tokens,
            attention_mask=seen,
            encoder_hidden_states=image,
            past_key_values=caches,
            use_cache=True,
            return_dict=True,
        )

    def _best(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the greatest score of every row and its token, where `<unk>` is none."""
        scores = logits[:, -1]
        scores[:, self.unk] += -torch.inf
        maxima, tokens = scores.max(-1)
        return maxima, tokens

    def _to_host(self, maxima: torch.Tensor, tokens: torch.Tensor) -> tuple[list[float], list[int]]:
        """Bring a step's numbers over, in the one transfer for which the device is waited for."""
        scores, numbers = torch.stack([maxima.double(), tokens.double()]).tolist()
        return scores, [int(number) for number in numbers]

    def _record(
        self, pages: Sequence[Page], maxima: list[float], tokens: list[int], stopped: list[bool]
    ) -> list[Draft]:
        """Write down a step of these pages, and return the drafts of those that end with it."""
        drafts = []
        for page, maximum, token, stop in zip(pages, maxima, tokens, stopped, strict=True):
            if page.ended:
                continue
            self.rows_used += 1
            last = len(page.tokens) + 2 >= self.max_length
            if last and self.forced_end is not None:
                maximum, token = 0.0, self.forced_end
            page.tokens.append(token)
            page.maxima.append(maximum)
            if token == self.eos or stop or last:
                page.ended = True
                drafts.append(self._draft(page))
        return drafts

    def _draft(self, page: Page) -> Draft:
        repeats = loop_start(page.tokens, page.maxima, pad=self.pad, eos=self.eos)
        page.maxima.clear()
        return draft(page.key, [self.start, *page.tokens], repeats, self.tokenizer, self.max_length)

    def _live(self) -> list[int]:
        return [row for row, page in enumerate(self.pages) if not page.ended]

    def _let_go(self, live: list[int]) -> None:
        """Forget the rows of ended pages when they are many, and columns that no other page has."""
        assert self.rows, "there are pages in flight"
        self._trim(live)
        if len(live) <= (1 - DEAD_SHARE) * len(self.pages):
            self.rows.replace(live)
            self.rule.keep(torch.tensor(live))
            self.pages = [self.pages[row] for row in live]

    def _trim(self, live: list[int]) -> None:
        assert self.rows, "there are pages in flight"
        self.rows.trim(max(len(self.pages[row].tokens) for row in live))


def draft(key: Hashable, sequence: list[int], repeats: int | None, tokenizer: Any, max_length: int) -> Draft:
    """Return what becomes of a page for what `model.inference` finds.

    Args:
        key: Which page.
        sequence: What was decoded, from the start token on.
        repeats: None for a text without a loop, else how much of the sequence is kept before one.
        tokenizer: The model's.
        max_length: Of a sequence, in tokens.
    """
    specials = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    kept = sequence[:repeats]
    text = tokenizer.decode(kept, skip_special_tokens=True)
    tokens = sum(token not in specials for token in kept)
    if repeats == 0:
        return Draft(key, text, tokens, Status.FAILED, Reason.REPETITION_FROM_START)
    if repeats is not None:
        return Draft(key, text, tokens, Status.TRUNCATED, Reason.REPETITION)
    if tokenizer.eos_token_id not in sequence[1 : max_length - 1]:  # the last word at the limit is a forced one
        reason = Reason.LENGTH_LIMIT if len(sequence) >= max_length else Reason.REPETITION
        return Draft(key, text, tokens, Status.TRUNCATED, reason)
    return Draft(key, text, tokens, Status.OK)


def shielded(work: Callable[[], Result], drop: Callable[[], None]) -> Result:
    """Run the model without gradients, tell faults of the device from those of a page, and drop the pages on any.

    Raises:
        MemoryError: The device's memory is full.
        EngineLost: The device is gone.
    """
    try:
        with torch.inference_mode():
            return work()
    except torch.OutOfMemoryError as error:
        full = str(error)
    except torch.AcceleratorError as error:
        drop()
        raise EngineLost(str(error)) from error
    except BaseException as error:
        if CPU_MEMORY_FULL not in str(error):
            drop()
            raise
        full = str(error)
    drop()  # only here, where the error holds no tensors any more
    torch.cuda.empty_cache()
    raise MemoryError(full)
