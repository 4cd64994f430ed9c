"""A tokenizer that makes one token of each byte, so that lengths in tokens can be told by counting."""

from tokenizers import Tokenizer, models, pre_tokenizers


def bytewise_tokenizer() -> Tokenizer:
    """Return a byte-level BPE without merges."""
    vocabulary = {character: index for index, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer
