"""Makes the sample archives, the truth about every page in them, and the list of passwords.

Run it as `python demo/make_samples.py`. The same sources give the same bytes, but for `secret.rar`, whose salt is new
each time.
"""

import hashlib
import io
import json
import time
from pathlib import Path

import numpy as np
import pikepdf
import pypdfium2
import rars
from PIL import Image
from rar_volumes import volumes
from typesetting import read_pages, typeset

from pagemill.ocr.nougat.words import provide_word_list

DEMO = Path(__file__).parent
SAMPLES = DEMO / "samples"
AUTHORS = {
    "alice": "Lewis Carroll",
    "origin": "Charles Darwin",
    "motion": "Newton, Maxwell, Faraday",
    "elements": "Euclid",
    "leaflet": "The Binder",
    "plates": "The Binder",
}
MODIFIED = 1_735_689_600  # 2025-01-01, the date of every file, in seconds since 1970
MODIFIED_DOS = (2025 - 1980) << 25 | 1 << 21 | 1 << 16  # the same as RAR4 wants it: year, month, day
SCAN_SEED, SCAN_DPI, SCAN_QUALITY = 20250101, 110, 40
PASSWORDS = ("swordfish", "jabberwock", "mithridates")
PASSWORD = PASSWORDS[1]
FOLDED_SHEET_POINTS = 400 * 72
VOLUME_BYTES = 30_000


def main() -> None:
    provide_word_list()
    books = make_books()
    SAMPLES.mkdir(parents=True, exist_ok=True)
    for name, content in make_archives(books).items():
        (SAMPLES / name).write_bytes(content)
    (DEMO / "passwords.txt").write_text("".join(f"{password}\n" for password in PASSWORDS))
    (DEMO / "truth.jsonl").write_text("".join(truth_lines(books)), encoding="utf-8")
    total = sum(path.stat().st_size for path in SAMPLES.iterdir())
    print(f"{len(books)} books in {len(list(SAMPLES.iterdir()))} files of {total:,} bytes in {SAMPLES}")


def make_books() -> dict[str, bytes]:
    """Return every readable PDF of the samples under the name of its source."""
    books = {name: typeset(name, author) for name, author in AUTHORS.items()}
    books["alice"] = scan(books["alice"])
    books["plates"] = add_folded_sheet(books["plates"])
    return books


def scan(pdf: bytes) -> bytes:
    """Return the PDF as a scanner would give it: grey, a little rotated, noisy, without a text layer."""
    random = np.random.default_rng(SCAN_SEED)
    pages = [page.render(scale=SCAN_DPI / 72).to_pil().convert("L") for page in pypdfium2.PdfDocument(pdf)]
    pages = [_through_scanner(page, random) for page in pages]
    date = time.gmtime(MODIFIED)
    out = io.BytesIO()
    pages[0].save(
        out,
        "PDF",
        save_all=True,
        append_images=pages[1:],
        resolution=SCAN_DPI,
        quality=SCAN_QUALITY,
        title="Alice's Adventures in Wonderland",
        author=AUTHORS["alice"],
        creationDate=date,
        modDate=date,
    )
    return out.getvalue()


def _through_scanner(page: Image.Image, random: np.random.Generator) -> Image.Image:
    turned = page.rotate(random.uniform(-0.7, 0.7), Image.Resampling.BICUBIC, fillcolor=255)
    grey = np.asarray(turned, dtype=np.float32) * 0.78 + 45
    grey += np.linspace(-5, 5, grey.shape[1]) + random.normal(0, 3, grey.shape)
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


def add_folded_sheet(pdf: bytes) -> bytes:
    """Append a page of 400 x 400 inches."""
    with pikepdf.open(io.BytesIO(pdf)) as document:
        document.pages.append(document.pages[0])
        document.pages[-1].mediabox = [0, 0, FOLDED_SHEET_POINTS, FOLDED_SHEET_POINTS]
        return _saved(document)


def lock(pdf: bytes) -> bytes:
    """Return the PDF so that it cannot be opened without a password that nobody has."""
    with pikepdf.open(io.BytesIO(pdf)) as document:
        encryption = pikepdf.Encryption(owner="nobody", user="knows", R=3, aes=False, metadata=False)
        return _saved(document, encryption=encryption)


def empty_pdf() -> bytes:
    """Return a sound PDF that has no page."""
    with pikepdf.new() as document:
        return _saved(document)


def _saved(document: pikepdf.Pdf, **options: object) -> bytes:
    out = io.BytesIO()
    document.save(out, static_id=True, **options)
    return out.getvalue()


def make_archives(books: dict[str, bytes]) -> dict[str, bytes]:
    """Return the archives by file name; between them they hold every kind of trouble."""
    novels = {
        "carroll/alice.pdf": books["alice"],
        "carroll/proof-sheets.pdf": books["motion"][:24] + b"\x00the press stopped here\n" * 40,
        "carroll/readme.txt": b"Scanned from the copy in the reading room.\n",
    }
    science = {
        "darwin\\origin.pdf": books["origin"],
        "darwin\\letters.pdf": b"This letter was never set in type, whatever its name says.\n",
        "darwin\\blank-book.pdf": empty_pdf(),
        "darwin\\sealed.pdf": lock(books["leaflet"]),
    }
    treatise = {"treatise/motion.pdf": books["motion"], "treatise/plates.pdf": books["plates"]}
    secret = {"euclid/elements.pdf": books["elements"]}
    damaged = {
        "shelf/leaflet.pdf": books["leaflet"],
        "shelf/water-stained.pdf": books["motion"],
        "shelf/species-second-copy.pdf": books["origin"],
    }
    sets = volumes(treatise, VOLUME_BYTES, MODIFIED)
    return {
        "novels.rar": _pack(novels, format="rar50", compression=5, solid=True),
        "science-rar4.rar": _pack(science, MODIFIED_DOS, format="rar29", compression=3),
        "secret.rar": _pack(secret, format="rar50", compression=3, password=PASSWORD, encrypt_headers=True),
        "damaged.rar": _stain(_pack(damaged, format="rar50", store=True), books["motion"]),
        **{f"treatise.part{number}.rar": volume for number, volume in enumerate(sets, 1)},
    }


def _pack(members: dict[str, bytes], modified: int = MODIFIED, **options: object) -> bytes:
    builder = rars.RarBuilder(**options)
    for name, content in members.items():
        builder.add_bytes(content, name, mtime=modified)
    return builder.to_bytes()


def _stain(archive: bytes, member: bytes) -> bytes:
    """Turn every bit of 64 bytes in the middle of a stored member."""
    middle = archive.index(member) + len(member) // 2
    stained = bytes(byte ^ 0xFF for byte in archive[middle : middle + 64])
    return archive[:middle] + stained + archive[middle + 64 :]


def truth_lines(books: dict[str, bytes]) -> list[str]:
    """Return a JSON line for every page that can be read; of a page that loops, what stands before the loop."""
    rows = []
    for book, pdf in books.items():
        for page in read_pages(book):
            row = {"pdf_sha256": hashlib.sha256(pdf).hexdigest(), "book": book, "page": page.number}
            text = as_nougat_returns(page.target)
            rows.append(row | ({"text": text.rstrip(), "loops": True} if page.loops else {"text": text}))
    return [json.dumps(row) + "\n" for row in rows]


def as_nougat_returns(target: str) -> str:
    """Return the text as it leaves Nougat's own post-processing, which must not change it any further."""
    from nougat.postprocessing import markdown_compatible, postprocess

    def processed(text: str) -> str:
        return markdown_compatible(postprocess(text, markdown_fix=False))

    text = processed(target)
    assert text.strip() == target, f"Nougat would change this page: {target!r} to {text!r}"
    assert processed(text) == text, f"Nougat would change this page twice: {text!r}"
    return text


if __name__ == "__main__":
    main()
