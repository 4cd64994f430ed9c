"""A projector of random numbers that lets llama.cpp take pictures with a text model; it understands nothing of them."""

from pathlib import Path

import gguf
import numpy as np

WIDTH, HEADS, FEED_FORWARD, LAYERS = 32, 2, 64, 3
PICTURE, PATCH = 56, 14
PATCHES = (PICTURE // PATCH) ** 2  # also the tokens that a picture becomes
SEED = 0


def write_projector(path: Path, model_width: int) -> None:
    """Write a LLaVA projector for a language model of the given width, as a GGUF of some MB."""
    writer = gguf.GGUFWriter(str(path), "clip")
    _describe(writer, model_width)
    draw = np.random.default_rng(SEED)
    for name, shape in _shapes(model_width).items():
        is_scale = name.endswith(("ln1.weight", "ln2.weight", "pre_ln.weight"))
        numbers = np.ones(shape) if is_scale else draw.normal(0, 0.02, shape)
        writer.add_tensor(name, numbers.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: gguf.GGUFWriter, model_width: int) -> None:
    for name in ("clip.has_vision_encoder", "clip.has_llava_projector", "clip.use_gelu"):
        writer.add_bool(name, True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_file_type(0)  # 32-bit numbers
    sizes = {
        "image_size": PICTURE,
        "patch_size": PATCH,
        "embedding_length": WIDTH,
        "feed_forward_length": FEED_FORWARD,
        "projection_dim": model_width,
        "attention.head_count": HEADS,
        "block_count": LAYERS,
    }
    for name, size in sizes.items():
        writer.add_uint32(f"clip.vision.{name}", size)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.48, 0.46, 0.41])
    writer.add_array("clip.vision.image_std", [0.27, 0.26, 0.28])


def _shapes(model_width: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor."""
    layer: dict[str, tuple[int, ...]] = {
        **{f"{part}.weight": (WIDTH, WIDTH) for part in ("attn_q", "attn_k", "attn_v", "attn_out")},
        **{f"{part}.bias": (WIDTH,) for part in ("attn_q", "attn_k", "attn_v", "attn_out")},
        **{f"{part}.{kind}": (WIDTH,) for part in ("ln1", "ln2") for kind in ("weight", "bias")},
        "ffn_up.weight": (FEED_FORWARD, WIDTH),
        "ffn_up.bias": (FEED_FORWARD,),
        "ffn_down.weight": (WIDTH, FEED_FORWARD),
        "ffn_down.bias": (WIDTH,),
    }
    return {
        "v.class_embd": (WIDTH,),
        "v.patch_embd.weight": (WIDTH, 3, PATCH, PATCH),
        "v.position_embd.weight": (PATCHES + 1, WIDTH),
        "v.pre_ln.weight": (WIDTH,),
        "v.pre_ln.bias": (WIDTH,),
        **{f"v.blk.{index}.{name}": shape for index in range(LAYERS) for name, shape in layer.items()},
        "mm.0.weight": (model_width, WIDTH),
        "mm.0.bias": (model_width,),
        "mm.2.weight": (model_width, model_width),
        "mm.2.bias": (model_width,),
    }
