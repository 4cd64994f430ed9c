"""Makes small real PDFs of every kind, good and bad, for the tests."""

import io
from collections.abc import Sequence

import pikepdf
import typst
from pikepdf import Array, Dictionary, Name, Stream, String

A5_POINTS = (420, 595)


def typeset(markup: str) -> bytes:
    """Return what Typst makes of its markup; equal markup gives equal bytes."""
    return typst.compile(f"#set document(date: none)\n{markup}".encode())


def book(pages: Sequence[str], title: str = "", author: str = "") -> bytes:
    """Return a PDF with one page a text."""
    head = f'#set document(title: "{title}", author: "{author}")\n#set page(width: 420pt, height: 595pt)\n'
    return typeset(head + "\n#pagebreak()\n".join(pages))


def blank(sizes: Sequence[tuple[float, float]] = (A5_POINTS,)) -> pikepdf.Pdf:
    """Return an open PDF of empty pages of these sizes in points."""
    pdf = pikepdf.new()
    for width, height in sizes:
        pdf.add_blank_page()
        pdf.pages[-1].MediaBox = Array([0, 0, width, height])
    return pdf


def saved(pdf: pikepdf.Pdf, encryption: pikepdf.Encryption | None = None) -> bytes:
    """Return an open PDF as bytes."""
    stream = io.BytesIO()
    pdf.save(stream, encryption=encryption or False, deterministic_id=encryption is None)
    return stream.getvalue()


def without_pages() -> bytes:
    """Return a sound PDF that has no page."""
    return saved(pikepdf.new())


def encrypted(content: bytes, user_password: str) -> bytes:
    """Return the PDF encrypted; with an empty user password everybody can read it."""
    with pikepdf.open(io.BytesIO(content)) as pdf:
        return saved(pdf, pikepdf.Encryption(owner="owner", user=user_password))


def with_unknown_encryption(content: bytes) -> bytes:
    """Return the PDF encrypted by a handler that no reader knows."""
    return encrypted(content, user_password="").replace(b"/Standard", b"/Unheard_")


def with_missing_page() -> bytes:
    """Return a PDF of one page and a second that is promised by a branch of the page tree leading only to itself."""
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 /MediaBox [0 0 300 200] >>",
        b"<< /Type /Page /Parent 2 0 R >>",
        b"<< /Type /Pages /Kids [5 0 R] /Count 1 >>",
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
    )
    body = b"\n".join(b"%d 0 obj\n%b\nendobj" % numbered for numbered in enumerate(objects, start=1))
    return b"%PDF-1.7\n" + body + b"\ntrailer << /Root 1 0 R /Size 6 >>\n%%EOF\n"


def with_information(content: bytes, **entries: str | bytes) -> bytes:
    """Return the PDF with entries of its document information, such as Title or CreationDate, replaced."""
    with pikepdf.open(io.BytesIO(content)) as pdf:
        for name, value in entries.items():
            pdf.docinfo[Name(f"/{name}")] = String(value)
        return saved(pdf)


def with_page(content: bytes, **entries: object) -> bytes:
    """Return the PDF with entries of its first page, such as Rotate or CropBox, replaced."""
    with pikepdf.open(io.BytesIO(content)) as pdf:
        for name, value in entries.items():
            pdf.pages[0][f"/{name}"] = value
        return saved(pdf)


def truncated(content: bytes, share: float = 0.5) -> bytes:
    """Return the beginning of the file, as a broken download leaves it."""
    return content[: int(len(content) * share)]


def scanned(width: int = 300, height: int = 400) -> bytes:
    """Return a PDF whose one page is a grey image without a text layer."""
    pdf = blank([(width, height)])
    pixels = bytes((x * y) % 256 for y in range(height) for x in range(width))
    image = Stream(pdf, pixels)
    image.update(
        Dictionary(
            Type=Name.XObject,
            Subtype=Name.Image,
            Width=width,
            Height=height,
            ColorSpace=Name.DeviceGray,
            BitsPerComponent=8,
        )
    )
    pdf.pages[0].Resources = Dictionary(XObject=Dictionary(Scan=pdf.make_indirect(image)))
    pdf.pages[0].Contents = Stream(pdf, f"{width} 0 0 {height} 0 0 cm /Scan Do".encode())
    return saved(pdf)


def with_form_and_annotation() -> bytes:
    """Return a PDF with a filled form field and a highlighting annotation."""
    pdf = blank([(300, 200)])
    look = Stream(pdf, b"0.2 0.4 0.9 rg 0 0 100 20 re f")
    look.update(Dictionary(Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 100, 20])))
    field = pdf.make_indirect(
        Dictionary(
            Type=Name.Annot,
            Subtype=Name.Widget,
            FT=Name.Tx,
            T=String("name"),
            V=String("filled"),
            F=4,
            Rect=Array([20, 20, 120, 40]),
            AP=Dictionary(N=pdf.make_indirect(look)),
        )
    )
    highlight = pdf.make_indirect(
        Dictionary(
            Type=Name.Annot,
            Subtype=Name.Highlight,
            F=4,
            C=Array([1, 1, 0]),
            Rect=Array([150, 100, 250, 150]),
            QuadPoints=Array([150, 150, 250, 150, 150, 100, 250, 100]),
        )
    )
    pdf.pages[0].Annots = Array([field, highlight])
    pdf.Root.AcroForm = Dictionary(Fields=Array([field]))
    return saved(pdf)


def with_endless_page(content: bytes) -> bytes:
    """Return the PDF with a first page that draws a form of ten forms of ten forms, twelve levels deep."""
    with pikepdf.open(io.BytesIO(content)) as pdf:
        form = None
        for _ in range(12):
            stream = Stream(pdf, b"/Inner Do " * 10 if form else b"0 0 1 1 re f")
            stream.update(Dictionary(Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 100, 100])))
            stream.Resources = Dictionary(XObject=Dictionary(Inner=form)) if form else Dictionary()
            form = pdf.make_indirect(stream)
        pdf.pages[0].Resources = Dictionary(XObject=Dictionary(Inner=form))
        pdf.pages[0].Contents = Stream(pdf, b"/Inner Do")
        return saved(pdf)


def with_unreadable_text() -> bytes:
    """Return a PDF whose font maps every letter to a control or private-use character."""
    pdf = blank([(300, 200)])
    mapping = (
        b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <00> <FF> endcodespacerange\n"
        b"2 beginbfrange <00> <5F> <E000> <60> <FF> <F000> endbfrange endcmap end"
    )
    font = Dictionary(
        Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica, ToUnicode=pdf.make_indirect(Stream(pdf, mapping))
    )
    pdf.pages[0].Resources = Dictionary(Font=Dictionary(F1=pdf.make_indirect(font)))
    pdf.pages[0].Contents = Stream(pdf, b"BT /F1 12 Tf 20 100 Td (what nobody can read) Tj ET")
    return saved(pdf)
