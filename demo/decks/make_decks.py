"""Makes the sample decks; what they say stands in the JSON beside each, which the tests hold them to.

Run it as `python demo/decks/make_decks.py`. The same sources give the same bytes.
"""

import shutil
import tempfile
from pathlib import Path

import typst

DECKS = Path(__file__).parent
NAMES = ("orrivane", "korbland")
PICTURES = ("advisors",)  # slides that are pictures, as of decks that were scanned or exported so
PICTURE_DPI = 130


def main() -> None:
    for name in NAMES:
        path = DECKS / f"{name}.pdf"
        path.write_bytes(make_deck(name))
        print(f"{path.stat().st_size:,} bytes in {path}")


def make_deck(name: str) -> bytes:
    """Return a deck as PDF."""
    with tempfile.TemporaryDirectory() as folder:
        for source in DECKS.glob("*.typ"):
            shutil.copy(source, folder)
        for picture in PICTURES:
            place = Path(folder) / f"{picture}.png"
            typst.compile(place.with_suffix(".typ"), place, format="png", ppi=PICTURE_DPI, ignore_system_fonts=True)
        return typst.compile(Path(folder) / f"{name}.typ", ignore_system_fonts=True)


if __name__ == "__main__":
    main()
