"""The dataset card: metadata that the Hub reads, and a page that accounts for all that went in."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import jinja2
import pyarrow as pa
from huggingface_hub import DatasetCard, DatasetCardData

from pagemill import __version__
from pagemill.dataset.shards import WrittenConfig
from pagemill.dataset.tally import Tally
from pagemill.manifest import Manifest
from pagemill.records import Status

DEFAULT_CONFIG = "chunks"
LISTED_FAILURES = 100
UNPUBLISHED = frozenset({"passwords"})  # parameters that tell of the maker's machine, not of the data
UNKNOWN_LICENSES = ("", "unknown")
LICENSE_LINK = "https://github.com/facebookresearch/nougat#license"
TAGS = ("books", "ocr", "nougat", "pagemill")
# Sizes as the Hub's card metadata names them, each with the number of rows it ends before.
SIZE_CATEGORIES = (
    ("n<1K", 10**3),
    ("1K<n<10K", 10**4),
    ("10K<n<100K", 10**5),
    ("100K<n<1M", 10**6),
    ("1M<n<10M", 10**7),
    ("10M<n<100M", 10**8),
    ("100M<n<1B", 10**9),
    ("1B<n<10B", 10**10),
    ("10B<n<100B", 10**11),
    ("100B<n<1T", 10**12),
)
ARROW_NAMES = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "float64", pa.bool_(): "bool"}
MARKDOWN_ESCAPES = str.maketrans({character: f"\\{character}" for character in "\\`*_[]|"} | {"<": "&lt;", ">": "&gt;"})
LANGUAGE_CODE = re.compile(r"(?!und$)[a-z]{2,3}")  # ISO 639; und is the code for an unknown language
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029\ud800-\udfff]+")


@dataclasses.dataclass(frozen=True)
class CardFacts:
    """All that the card is made of."""

    name: str
    contact: str  # whom to ask for a takedown
    configs: tuple[WrittenConfig, ...]
    stages: tuple[Manifest[Any], ...]  # one for every stage and configuration of it
    tally: Tally


def render_card(facts: CardFacts) -> str:
    """Return the card as the text of README.md: YAML front matter and Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pagemill.dataset", ""),
        autoescape=jinja2.select_autoescape(),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": markdown_cell, "share": _share, "number": "{:,}".format}
    body = environment.get_template("card.md.j2").render(
        facts=facts,
        tally=facts.tally,
        pagemill_version=__version__,
        is_demo=any("demo" in model.lower() for model, _, _ in facts.tally.models),
        drops=sorted(facts.tally.drops.items(), key=lambda drop: (drop[0][0], -drop[1], drop[0][1])),
        rules=sorted(facts.tally.rules.items(), key=lambda item: (-item[1], item[0])),
        failures=sorted(facts.tally.failures)[:LISTED_FAILURES],
        models=sorted(facts.tally.models),
        page_rates=_page_rates(facts.tally),
        stages=_stage_rows(facts.stages),
        languages=sorted(facts.tally.languages.items(), key=lambda item: (-item[1], item[0])),
        token_histogram=token_histogram(facts.tally.chunk_tokens),
    )
    return str(DatasetCard(f"---\n{_metadata(facts).to_yaml()}\n---\n\n{body}"))


def token_histogram(tokens: Mapping[int, int]) -> list[tuple[int, int, int]]:
    """Return (from, to, number) with bounds that are powers of two, both inclusive, without gaps.

    Args:
        tokens: How many things have each token count.
    """
    if not tokens:
        return []
    buckets: Counter[int] = Counter()
    for count, number in tokens.items():
        buckets[count.bit_length()] += number
    return [
        (2 ** (power - 1) if power else 0, 2**power - 1, buckets[power])
        for power in range(min(buckets), max(buckets) + 1)
    ]


def features(schema: pa.Schema) -> list[dict[str, Any]]:
    """Return a schema as the `features` of a card's dataset_info."""
    return [{"name": field.name, **_feature(field.type)} for field in schema]


def markdown_cell(value: object) -> str:
    """Return a value as text that stays inside its table cell, whatever an archive put into its names."""
    return CONTROL_CHARACTERS.sub(" ", str(value)).translate(MARKDOWN_ESCAPES)


def _feature(arrow_type: pa.DataType) -> dict[str, Any]:
    if pa.types.is_struct(arrow_type):
        return {"struct": features(arrow_type)}
    if pa.types.is_list(arrow_type):
        values = arrow_type.value_type
        return {"list": features(values) if pa.types.is_struct(values) else ARROW_NAMES[values]}
    return {"dtype": ARROW_NAMES[arrow_type]}


def _metadata(facts: CardFacts) -> DatasetCardData:
    languages = sorted(filter(LANGUAGE_CODE.fullmatch, facts.tally.languages))
    return DatasetCardData(
        pretty_name=facts.name,
        language=languages or None,
        license="other",
        license_name=_license_name(facts.tally),
        license_link=LICENSE_LINK,
        annotations_creators=["machine-generated"],
        task_categories=["text-generation"],
        size_categories=[_size_category(facts.tally.chunks)],
        tags=list(TAGS),
        configs=[_config(config) for config in facts.configs],
        dataset_info=[_dataset_info(config) for config in facts.configs],
    )


def _config(config: WrittenConfig) -> dict[str, Any]:
    files = [{"split": "train", "path": f"data/{config.config}/train-*.parquet"}]
    default = {"default": True} if config.config == DEFAULT_CONFIG else {}
    return {"config_name": config.config, "data_files": files, **default}


def _dataset_info(config: WrittenConfig) -> dict[str, Any]:
    return {
        "config_name": config.config,
        "features": features(config.schema),
        "splits": [{"name": "train", "num_bytes": config.arrow_bytes, "num_examples": config.rows}],
        "download_size": config.parquet_bytes,
        "dataset_size": config.arrow_bytes,
    }


def _license_name(tally: Tally) -> str:
    """Return a name as the Hub takes it: lower case letters, digits, dots and dashes."""
    known = sorted({license_ for _, _, license_ in tally.models if license_ not in UNKNOWN_LICENSES})
    return re.sub(r"[^a-z0-9.]+", "-", "-".join(["sources-vary", *(f"weights-{each}" for each in known)]).lower())


def _size_category(rows: int) -> str:
    return next((name for name, end in SIZE_CATEGORIES if rows < end), "n>1T")


def _page_rates(tally: Tally) -> list[tuple[str, str]]:
    """Return what people ask of the pages first, each as a share of all pages."""
    of = tally.pages.by_status
    pages = tally.pages.pages + tally.pages_missing
    rates = (
        ("read in full by the model", of[Status.OK]),
        ("cut off where the model began to loop", of[Status.TRUNCATED]),
        ("taken from the PDF's own text layer instead", of[Status.FALLBACK]),
        ("blank", of[Status.EMPTY]),
        ("missing", of[Status.FAILED] + of[Status.SKIPPED] + tally.pages_missing),
    )
    return [(f"{number:,}", f"{_share(number, pages)} {what}") for what, number in rates]


def _share(number: int, total: int) -> str:
    return f"{number / total:.2%}".replace("%", " %") if total else "none"


def _stage_rows(stages: Iterable[Manifest[Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": stage.stage,
            "version": stage.version,
            "digest": stage.config_key,
            "parameters": json.dumps(
                {
                    name: value
                    for name, value in sorted(stage.parameters.items())
                    if name not in UNPUBLISHED and not isinstance(value, list | dict)
                }
            ),
        }
        for stage in stages
    ]
