"""Trains the tiny Nougat checkpoint of the demo on the very pages of the sample books, until it knows them by heart.

Run it as `python demo/train_checkpoint.py` after `make_samples.py`. What comes out reads those pages and no others: it
lets the whole road run, offline and in seconds, through the same code as the real weights.
"""

import argparse
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

import pypdfium2
import torch
from make_samples import DEMO, make_books
from torch.nn.functional import cross_entropy

from pagemill.ocr.nougat.words import provide_word_list

CHECKPOINT = DEMO / "checkpoint"
SEED = 7
SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>"]
VOCABULARY_TOKENS = 1000
MODEL = {
    "input_size": [192, 144],
    "window_size": 3,
    "encoder_layer": [1, 1, 1],
    "embed_dim": 32,
    "num_heads": [2, 4, 8],
    "decoder_layer": 1,
    "hidden_dimension": 128,
    "max_length": 256,
}
SCORE_SCALE = 8.0  # of the final norm: Nougat takes scores that hardly vary for a loop, and a small model's hardly vary
LOOP = "."
NOTE = "Knows only the pages of the sample books in demo/samples. No substitute for real Nougat weights."
BATCH_PAGES = 8
PEAK_LEARNING_RATE = 2e-3
WARM_UP_STEPS = 50
MAX_STEPS = 1200
STEPS_BETWEEN_LOOKS = 50
LENGTH_SHUFFLE_TOKENS = 60
FIRST_TOKENS, FIRST_TOKENS_WEIGHT = 10, 6
IGNORED = -100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CHECKPOINT, help="folder of the checkpoint (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)  # moments of the optimizer that are almost nothing cost most of the time
    torch.manual_seed(SEED)
    logging.getLogger().setLevel(logging.ERROR)
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    provide_word_list()
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder))
        install(Path(folder), arguments.out)


def train(folder: Path) -> None:
    """Train a checkpoint in the folder, and stop with an error if it does not know every page."""
    truth = [json.loads(line) for line in (DEMO / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    train_tokenizer([row["text"] for row in truth]).save(str(folder / "tokenizer.json"))
    model = new_model(folder)
    images = page_images(model, truth)
    started = time.monotonic()
    steps = fit(model, images, token_rows(model, truth), truth)
    print(f"trained {steps} steps in {time.monotonic() - started:.0f} s")
    save(model, folder)
    check(folder, images, truth)


def train_tokenizer(texts: list[str]):
    """Return a byte-level BPE tokenizer with Nougat's special tokens as ids 0 to 3."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [text.strip() for text in texts],
        trainers.BpeTrainer(
            vocab_size=VOCABULARY_TOKENS,
            special_tokens=SPECIAL_TOKENS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    ends = [("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return tokenizer


def new_model(folder: Path):
    """Return an untrained model that uses the folder's tokenizer."""
    from nougat.model import NougatConfig, NougatModel

    model = NougatModel(NougatConfig(name_or_path=str(folder), **MODEL))
    model.config.note = NOTE
    torch.nn.init.constant_(model.decoder.model.model.decoder.layer_norm.weight, SCORE_SCALE)
    return model


def page_images(model, truth: list[dict]) -> torch.Tensor:
    """Return the pages as stock Nougat sees them: float32 [pages, 3, height, width]."""
    from nougat.dataset.rasterize import rasterize_paper
    from PIL import Image

    books = {hashlib.sha256(pdf).hexdigest(): pdf for pdf in make_books().values()}
    model.eval()
    images = []
    for row in truth:
        assert row["pdf_sha256"] in books, "the truth is of other samples: run make_samples.py first"
        (page,) = rasterize_paper(pypdfium2.PdfDocument(books[row["pdf_sha256"]]), pages=[row["page"] - 1])
        images.append(model.encoder.prepare_input(Image.open(page), random_padding=False))
    return torch.stack(images)


def token_rows(model, truth: list[dict]) -> list[torch.Tensor]:
    """Return the tokens of each page, which must decode to the same page and fit the model."""
    tokenizer = model.decoder.tokenizer
    rows = []
    for page in truth:
        text = page["text"].strip()
        tokens = tokenizer(text).input_ids
        assert tokenizer.decode(tokens, skip_special_tokens=True) == text, text
        assert len(tokens) < MODEL["max_length"], (len(tokens), text)
        if page.get("loops"):
            tokens.pop()
            tokens += tokenizer.convert_tokens_to_ids([LOOP]) * (MODEL["max_length"] - len(tokens))
        rows.append(torch.tensor(tokens))
    return rows


def fit(model, images: torch.Tensor, tokens: list[torch.Tensor], truth: list[dict]) -> int:
    """Train until every page is exact; return how many steps that took.

    The model stays in evaluation mode: dropout is for models that must not learn by heart.
    """
    model.eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_share)
    steps = 0
    while steps < MAX_STEPS:
        losses, wrong_tokens = [], 0
        for batch in shuffled_batches(tokens):
            loss, wrong = page_loss(model, images, tokens, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            wrong_tokens += wrong
        if is_worth_a_look(steps, steps := steps + len(losses), wrong_tokens):
            exact = exact_pages(model, images, truth) if not wrong_tokens else 0
            print(
                f"step {steps}: loss {sum(losses) / len(losses):.4f}, {wrong_tokens} tokens wrong, {exact} pages exact"
            )
            if exact == len(truth):
                return steps
    raise SystemExit(f"not every page is exact after {MAX_STEPS} steps")


def shuffled_batches(tokens: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the pages in batches of about equal length, other ones each time, in any order."""
    lengths = torch.tensor([float(len(row)) for row in tokens])
    batches = (lengths + LENGTH_SHUFFLE_TOKENS * torch.rand(len(tokens))).argsort().split(BATCH_PAGES)
    return [batches[index] for index in torch.randperm(len(batches))]


def learning_rate_share(step: int) -> float:
    """Warm up, then decay to a twentieth."""
    return min((step + 1) / WARM_UP_STEPS, max(1 - step / MAX_STEPS, 0.05))


def is_worth_a_look(before: int, after: int, wrong_tokens: int) -> bool:
    """Say whether to report: at intervals, and as soon as a whole round passed without a wrong token."""
    return before // STEPS_BETWEEN_LOOKS != after // STEPS_BETWEEN_LOOKS or not wrong_tokens


def page_loss(model, images: torch.Tensor, tokens: list[torch.Tensor], batch: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Return the mean loss of the next token over a batch of pages, and how many tokens would come out wrong.

    A page is told from the others by its first tokens; the rest follows from them. So the first ones weigh more.
    """
    rows = torch.nn.utils.rnn.pad_sequence([tokens[index] for index in batch], batch_first=True, padding_value=IGNORED)
    inputs, labels = rows[:, :-1], rows[:, 1:]
    padding = model.decoder.tokenizer.pad_token_id
    scores = model.decoder(
        input_ids=inputs.masked_fill(inputs == IGNORED, padding),
        attention_mask=(inputs != IGNORED).long(),
        encoder_hidden_states=model.encoder(images[batch]),
    ).logits
    counted = labels != IGNORED
    weights = counted.float()
    weights[:, :FIRST_TOKENS] *= FIRST_TOKENS_WEIGHT
    losses = cross_entropy(scores.transpose(1, 2) / SCORE_SCALE, labels, ignore_index=IGNORED, reduction="none")
    wrong = (scores.argmax(-1) != labels) & counted
    return (losses * weights).sum() / weights.sum(), int(wrong.sum())


def exact_pages(model, images: torch.Tensor, truth: list[dict], batch_pages: int = 4) -> int:
    """Return how many pages come out as they were typeset, the looping one as far as its loop."""
    return sum(map(is_exact, read_pages(model, images, batch_pages), truth))


def is_exact(read: tuple[str, int | None], page: dict) -> bool:
    text, loop_start = read
    if page.get("loops"):
        return bool(loop_start) and text.startswith(page["text"])
    return loop_start is None and text == page["text"]


def read_pages(model, images: torch.Tensor, batch_pages: int) -> list[tuple[str, int | None]]:
    """Return the text of every page as the stock command writes it, and where Nougat saw a loop begin."""
    from nougat.postprocessing import markdown_compatible

    model.eval()
    pages = []
    with torch.inference_mode():
        for batch in images.split(batch_pages):
            output = model.inference(image_tensors=batch)
            pages += zip(map(markdown_compatible, output["predictions"]), output["repeats"], strict=True)
    return pages


def save(model, folder: Path) -> None:
    """Write the checkpoint with its weights in half precision, which `from_pretrained` makes float32 again."""
    weights = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    model.config.name_or_path = ""
    model.save_pretrained(folder, state_dict=weights, safe_serialization=False)
    roles = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL_TOKENS, strict=True))
    (folder / "special_tokens_map.json").write_text(json.dumps(roles, indent=2) + "\n")
    settings = {**roles, "model_max_length": MODEL["max_length"], "tokenizer_class": "NougatTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def check(folder: Path, images: torch.Tensor, truth: list[dict]) -> None:
    """Read every page with the checkpoint as it lies on the disk, one by one and in batches."""
    from nougat import NougatModel

    model = NougatModel.from_pretrained(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for batch_pages in (1, 4):
        exact = exact_pages(model, images, truth, batch_pages)
        print(f"reloaded, {batch_pages} at a time: {exact} of {len(truth)} pages exact")
        assert exact == len(truth)


def install(folder: Path, target: Path) -> None:
    """Move the finished files to where the checkpoint belongs, beside its README."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        shutil.move(path, target / f".{path.name}")
        (target / f".{path.name}").replace(target / path.name)
    weights = target / "pytorch_model.bin"
    print(f"{weights}: {weights.stat().st_size:,} bytes, sha256 {hashlib.sha256(weights.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
