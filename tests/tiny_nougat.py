"""A Nougat checkpoint of random weights, small enough to make and to run in a second."""

import warnings
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")


def write_checkpoint(
    folder: Path, *, seed: int = 3, max_length: int = 60, layers: int = 1, score_scale: float = 1.0, unread: int = 0
) -> Path:
    """Write the files of a model that reads gibberish, always the same; some of its pages end, some do not.

    The more its scores are scaled, the more they vary from step to step, and the fewer texts are loops to
    Nougat. `unread` words of its vocabulary are more than it needs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(folder / "tokenizer.json", unread)
    from pagemill.ocr.nougat.loading import NougatModel, torch  # quiets what importing Nougat prints

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = NougatModel.config_class(
            input_size=[96, 48],
            window_size=3,
            encoder_layer=[1, 1, 1],
            decoder_layer=layers,
            max_length=max_length,
            name_or_path=str(folder),
            patch_size=4,
            embed_dim=16,
            num_heads=[2, 4, 8],
            hidden_dimension=64,
        )
        model = NougatModel(config)
        torch.manual_seed(seed)
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=_spread(name))
            elif name.endswith("decoder.layer_norm.weight"):
                torch.nn.init.constant_(parameter, score_scale)
        model.save_pretrained(folder, safe_serialization=False)
    return folder


def _spread(name: str) -> float:
    """Return how far weights lie apart: enough that pages differ in their text, and that some texts end."""
    if not name.startswith("decoder"):
        return 0.1
    return 0.3 if "encoder_attn" in name else 0.15


def _write_tokenizer(path: Path, unread: int) -> None:
    words = ["the", "of", "a", "book", "page", "read", "mill", "line", "word", "ink", "it", "so", "and", "we", "paper"]
    pieces = [*SPECIAL_TOKENS, *(f"▁{word}" for word in words), *(chr(code) for code in range(97, 123)), "▁"]
    pieces += [f"▁unread{number}" for number in range(unread)]
    tokenizer = Tokenizer(models.WordLevel({piece: number for number, piece in enumerate(pieces)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.save(str(path))
