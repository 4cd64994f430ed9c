"""Memory of decoding: our continuous decoder beside `model.inference`, for small and large vocabularies.

The checkpoints are tiny and of random weights, alike but for the vocabulary; each measurement is a process
of its own. Both paths decode the same pages, which repeat themselves as random models do, until Nougat's own
rule stops them after some 200 steps; a real page takes about 1,000, at most 4,096. What is told of each:

- scores held: at most, between two steps, in tensors as wide as the vocabulary;
- all tensors: at most, between two steps, in whatever is alive beside the weights, keys and values included;
- growth: by how much decoding raised the peak of the process's resident memory, work space included.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MEBIBYTE = 2**20
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
INPUT_SIZE = (96, 48)  # pixels: height, width
STEPS_BETWEEN_COUNTS = 32
WARM_UP_STEPS = 8


def write_checkpoint(folder: Path, vocabulary: int, max_length: int) -> Path:
    """Write a tiny Nougat model of random weights, always the same."""
    import torch
    import transformers
    from nougat import NougatModel

    transformers.logging.set_verbosity_error()

    folder.mkdir(parents=True)
    _write_tokenizer(folder / "tokenizer.json", vocabulary)
    config = NougatModel.config_class(
        input_size=list(INPUT_SIZE),
        window_size=3,
        encoder_layer=[1, 1, 1],
        decoder_layer=1,
        max_length=max_length,
        name_or_path=str(folder),
        patch_size=4,
        embed_dim=16,
        num_heads=[2, 4, 8],
        hidden_dimension=64,
    )
    torch.manual_seed(5)
    NougatModel(config).save_pretrained(folder, safe_serialization=False)
    return folder


def _write_tokenizer(path: Path, vocabulary: int) -> None:
    from tokenizers import Tokenizer, models

    pieces = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(vocabulary - len(SPECIAL_TOKENS)))]
    tokenizer = Tokenizer(models.WordLevel({piece: number for number, piece in enumerate(pieces)}, unk_token="<unk>"))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.save(str(path))


def pages_of_noise(count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(5).integers(0, 256, (count, 3, *INPUT_SIZE), dtype=np.uint8)


def decode_ours(model: Any, count: int) -> None:
    from pagemill.ocr.engine import PageInput
    from pagemill.ocr.nougat.decoding import ContinuousEngine

    engine = ContinuousEngine(model)
    engine.admit([PageInput(number, pixels) for number, pixels in enumerate(pages_of_noise(count))])
    ended = 0
    while ended < count:
        ended += len(engine.step())


def decode_reference(model: Any, count: int) -> None:
    import torch

    pixels = torch.from_numpy(pages_of_noise(count).astype(np.float32) / 255)
    with torch.inference_mode():
        model.inference(image_tensors=pixels, early_stopping=True)


PATHS: dict[str, Callable[[Any, int], None]] = {"pagemill": decode_ours, "model.inference": decode_reference}


class Count:
    """Counts, before every so many passes of the decoder, the bytes of the tensors that are alive."""

    def __init__(self, model: Any, vocabulary: int) -> None:
        self.weights = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
        self.vocabulary = vocabulary
        self.steps = self.scores_bytes = self.tensor_bytes = 0

    def __call__(self, *_: Any) -> None:
        """Take part in a pass: a hook of the decoder."""
        self.steps += 1
        if self.steps % STEPS_BETWEEN_COUNTS:
            return
        import torch

        alive = [tensor for tensor in gc.get_objects() if type(tensor) is torch.Tensor]
        scores = [tensor for tensor in alive if tensor.dim() and tensor.shape[-1] == self.vocabulary]
        self.scores_bytes = max(self.scores_bytes, self._bytes(scores))
        self.tensor_bytes = max(self.tensor_bytes, self._bytes(alive))

    def _bytes(self, tensors: list[Any]) -> int:
        """Add up the memory behind these tensors, each piece once."""
        pieces = {storage.data_ptr(): storage.nbytes() for storage in (each.untyped_storage() for each in tensors)}
        return sum(size for place, size in pieces.items() if place not in self.weights)


def measure(checkpoint: Path, path: str, vocabulary: int, count: int) -> dict[str, int]:
    """Decode in this process and return what it took."""
    from pagemill.ocr.checkpoint import resolve_checkpoint
    from pagemill.ocr.nougat.loading import load_model
    from pagemill.storage import Store

    model = load_model(resolve_checkpoint(str(checkpoint), Store(str(checkpoint.parent / "store"))), "cpu", 1, "fp32")
    _warm_up(model, count)
    counted = Count(model, vocabulary)
    model.decoder.model.model.decoder.register_forward_pre_hook(counted)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew from here
    before = _kibibytes("VmRSS")
    PATHS[path](model, count)
    growth = _kibibytes("VmHWM") - before
    return {
        "steps": counted.steps,
        "scores_bytes": counted.scores_bytes,
        "tensor_bytes": counted.tensor_bytes,
        "growth_bytes": growth * 1024,
    }


def _warm_up(model: Any, count: int) -> None:
    """Decode a little, so that what libraries set up once is not counted."""
    max_length = model.config.max_length
    model.config.max_length = WARM_UP_STEPS
    decode_reference(model, count)
    model.config.max_length = max_length


def _kibibytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])


def measure_elsewhere(checkpoint: Path, path: str, vocabulary: int, count: int) -> dict[str, int]:
    """Have a fresh process measure."""
    line = [sys.executable, __file__, "--measure", path, str(checkpoint)]
    line += ["--vocabularies", str(vocabulary), "--pages", str(count)]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[1_000, 50_000], help="in tokens")
    parser.add_argument("--max-length", type=int, default=512, help="of a page, in tokens")
    parser.add_argument("--pages", type=int, default=8, help="decoded together")
    parser.add_argument("--measure", nargs=2, metavar=("PATH", "CHECKPOINT"), help="for this script's own use")
    options = parser.parse_args()
    if options.measure:
        path, checkpoint = options.measure
        (vocabulary,) = options.vocabularies
        print(json.dumps(measure(Path(checkpoint), path, vocabulary, options.pages)))
        return
    print(f"{options.pages} pages together, of {options.max_length} tokens at most\n")
    print("| vocabulary | decoded by | steps | scores held | all tensors | growth of peak memory |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for vocabulary in options.vocabularies:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                checkpoint = write_checkpoint(Path(folder) / f"{vocabulary}", vocabulary, options.max_length)
            for path in PATHS:
                took = measure_elsewhere(checkpoint, path, vocabulary, options.pages)
                sizes = (took["scores_bytes"], took["tensor_bytes"], took["growth_bytes"])
                cells = " | ".join(f"{size / MEBIBYTE:.2f} MiB" for size in sizes)
                print(f"| {vocabulary:,} | {path} | {took['steps']} | {cells} |")


if __name__ == "__main__":
    main()
