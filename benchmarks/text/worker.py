"""Cuts documents with one splitter, in the splitter's own environment: JSON lines in, JSON lines out.

Usage: `python worker.py SPLITTER TOKENIZER_JSON TOKENS BUDGET_SECONDS < documents > chunks`.
A line in: `{"text": ..., "marks": [[start, end, kind, level], ...]}`. A line out: `{"seconds": ..., "chunks": [...]}`,
where a chunk is `{"text": ...}`, with "span" where the splitter tells it and "marks" where it goes by these. Time is
the process's own, of the splitting alone. When the budget is spent, the documents that are left are not cut.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

Chunks = list[dict[str, Any]]
Splitter = Callable[[Any], Chunks]


def load(path: str) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(path)


def counter(path: str) -> Callable[[str], int]:
    tokenizer = load(path)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def pagemill(path: str, tokens: int) -> Splitter:
    from pagemill.text import chunk
    from pagemill.text.chunking.tokens import load_tokenizer

    tokenizer = load_tokenizer(path)

    def split(text: str) -> Chunks:
        passages = chunk(text, tokenizer, target_tokens=tokens, max_tokens=tokens)
        return [{"text": passage.content, "span": [passage.start, passage.end]} for passage in passages]

    return split


def langchain(kind: str) -> Callable[[str, int], Splitter]:
    def make(path: str, tokens: int) -> Splitter:
        import langchain_text_splitters

        splitter = getattr(langchain_text_splitters, kind)(
            chunk_size=tokens, chunk_overlap=0, length_function=counter(path)
        )
        return lambda text: [{"text": chunk} for chunk in splitter.split_text(text)]

    return make


def semchunk(path: str, tokens: int) -> Splitter:
    import semchunk as library

    chunker = library.chunkerify(counter(path), tokens)

    def split(text: str) -> Chunks:
        chunks, spans = chunker(text, offsets=True)
        return [{"text": chunk, "span": list(span)} for chunk, span in zip(chunks, spans, strict=True)]

    return split


def semantic_text_splitter(path: str, tokens: int) -> Splitter:
    from semantic_text_splitter import MarkdownSplitter

    splitter = MarkdownSplitter.from_huggingface_tokenizer(load(path), tokens)
    return lambda text: [
        {"text": chunk, "span": [start, start + len(chunk)]} for start, chunk in splitter.chunk_indices(text)
    ]


def chonkie(kind: str, **options: Any) -> Callable[[str, int], Splitter]:
    def make(path: str, tokens: int) -> Splitter:
        import chonkie as library

        chunker = getattr(library, kind)(tokenizer=load(path), chunk_size=tokens, **options)
        return lambda text: [
            {"text": chunk.text, "span": [chunk.start_index, chunk.end_index]} for chunk in chunker.chunk(text)
        ]

    return make


def docling(path: str, tokens: int) -> Splitter:
    """HybridChunker with tables as compact Markdown: fewer tokens than its default form, and it can repeat the head."""
    from docling_core.transforms.chunker.hierarchical_chunker import ChunkingDocSerializer, ChunkingSerializerProvider
    from docling_core.transforms.chunker.hybrid_chunker import HybridChunker
    from docling_core.transforms.chunker.tokenizer.huggingface import HuggingFaceTokenizer
    from docling_core.transforms.serializer.markdown import MarkdownTableSerializer
    from transformers import PreTrainedTokenizerFast

    class MarkdownTables(ChunkingSerializerProvider):
        def get_serializer(self, doc: Any) -> Any:
            serializer = ChunkingDocSerializer(doc=doc, table_serializer=MarkdownTableSerializer())
            return serializer.model_copy(
                update={"params": serializer.params.model_copy(update={"compact_tables": True})}
            )

    tokenizer = HuggingFaceTokenizer(tokenizer=PreTrainedTokenizerFast(tokenizer_file=path), max_tokens=tokens)
    chunker = HybridChunker(tokenizer=tokenizer, serializer_provider=MarkdownTables())

    def split(document: tuple[Any, dict[str, int]]) -> Chunks:
        built, marks = document
        chunks = list(chunker.chunk(built))
        return [
            {
                "text": chunker.contextualize(chunk),
                "marks": [marks[item.self_ref] for item in chunk.meta.doc_items if item.self_ref in marks],
            }
            for chunk in chunks
        ]

    return split


def docling_document(line: dict[str, Any]) -> tuple[Any, dict[str, int]]:
    """Build what docling would have read, from the truth: the document, and which mark each of its items is."""
    from docling_core.types.doc import DocItemLabel, DoclingDocument

    document, marks = DoclingDocument(name="document"), {}
    table: Any = None
    for index, (start, end, kind, level) in enumerate(line["marks"]):
        text = line["text"][start:end]
        if kind == "inline":
            continue
        if kind == "heading":
            item = document.add_heading(text.lstrip("#").strip(), level=level)
        elif kind == "display":
            item = document.add_formula(text.removeprefix("\\[").removesuffix("\\]"))
        elif kind == "table":
            item = table = document.add_table(_table_data(text))
        elif kind == "table_caption":
            item = document.add_text(label=DocItemLabel.CAPTION, text=text, parent=table)
            table.captions.append(item.get_ref())
        elif kind == "code":
            item = document.add_code(text.removeprefix("```\n").removesuffix("\n```"))
        elif kind in ("list", "references"):
            group = document.add_list_group()
            for line_of_list in text.split("\n"):
                marker, _, words = line_of_list.partition(" ")
                item = document.add_list_item(words, enumerated=marker != "*", marker=marker, parent=group)
                marks[item.self_ref] = index
            continue
        else:
            label = DocItemLabel.FOOTNOTE if kind == "footnote" else DocItemLabel.TEXT
            item = document.add_text(label=label, text=text)
        marks[item.self_ref] = index
    return document, marks


def _table_data(text: str) -> Any:
    from docling_core.types.doc import TableCell, TableData

    body = re.sub(r"\\(?:begin|end)\{table\}|\\begin\{tabular\}\{[^}]*\}|\\end\{tabular\}|\\hline", "", text)
    rows = [row.split(" & ") for row in body.split(r"\\") if row.strip()]
    width = max(map(len, rows))
    cells = [
        TableCell(
            text=cell.strip(),
            start_row_offset_idx=y,
            end_row_offset_idx=y + 1,
            start_col_offset_idx=x,
            end_col_offset_idx=x + 1,
            column_header=y == 0,
        )
        for y, row in enumerate(rows)
        for x, cell in enumerate(row)
    ]
    return TableData(table_cells=cells, num_rows=len(rows), num_cols=width)


SPLITTERS: dict[str, Callable[[str, int], Splitter]] = {
    "pagemill": pagemill,
    "langchain Recursive": langchain("RecursiveCharacterTextSplitter"),
    "langchain Markdown": langchain("MarkdownTextSplitter"),
    "langchain Latex": langchain("LatexTextSplitter"),
    "semchunk": semchunk,
    "semantic-text-splitter": semantic_text_splitter,
    "chonkie Recursive": chonkie("RecursiveChunker"),
    "chonkie Sentence": chonkie("SentenceChunker", chunk_overlap=0),
    "docling Hybrid": docling,
}


def cut(name: str, path: str, tokens: int, budget_seconds: float) -> Iterator[dict[str, Any]]:
    """Yield what the splitter makes of each document, until its budget is spent."""
    split = SPLITTERS[name](path, tokens)
    spent = 0.0
    for line in sys.stdin:
        given = json.loads(line)
        document = docling_document(given) if name == "docling Hybrid" else given["text"]
        started = time.process_time()
        chunks = split(document)
        seconds = time.process_time() - started
        yield {"seconds": seconds, "chunks": chunks}
        spent += seconds
        if spent > budget_seconds:
            return


def main() -> None:
    name, path, tokens, budget_seconds = sys.argv[1:]
    for line in cut(name, path, int(tokens), float(budget_seconds)):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
