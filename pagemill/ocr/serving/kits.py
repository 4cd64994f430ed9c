"""One kit for each model instance that the machine is meant to run."""

import functools
from pathlib import Path

from pagemill.children import cpu_count
from pagemill.errors import UserError
from pagemill.ocr.checkpoint import Checkpoint, cache_folder, resolve_checkpoint
from pagemill.ocr.engine import PageOrder, check_engine, load_engine
from pagemill.ocr.feeding import PreparePage, render_workers_for
from pagemill.ocr.finishing import FinishPage
from pagemill.ocr.launch import gpu_count
from pagemill.ocr.serving.instance import Kit
from pagemill.ocr.serving.settings import Settings
from pagemill.storage import Store, file_sha256

_SELF_TEST_LINES = (
    "The mill stands by the river, and its wheel turns day and night.",
    "What the farmers bring in the morning is flour by the evening.",
    "A page is read in much the same way: line by line, and word by word.",
)


def kits_for(settings: Settings, folder: Path) -> list[Kit]:
    """Return the kits of all instances; brings the checkpoint here and verifies it.

    Args:
        settings: Of the server.
        folder: Where the page of the self-test is written.

    Raises:
        UserError: The engine, the device or the checkpoint is not there.
    """
    check_engine(settings.engine)
    devices = devices_for(settings)
    checkpoint = resolve_checkpoint(settings.checkpoint_spec, Store(str(cache_folder())))
    order = write_self_test(folder)
    return [_kit(settings, checkpoint, device, devices, order) for device in devices]


def devices_for(settings: Settings) -> list[str]:
    """Return the device of each instance: the GPUs in turn, so that each gets as many as the next; or the CPU."""
    gpus = gpu_count() if settings.device in ("auto", "cuda") else 0
    if settings.device == "cuda" and not gpus:
        raise UserError("PAGEMILL_DEVICE=cuda", "there is no GPU that CUDA can use", "set auto or cpu")
    devices = [f"cuda:{number}" for number in range(gpus)] or [settings.device.replace("auto", "cpu")]
    on_gpu = devices[0] != "cpu"
    number = settings.instances or len(devices) * (settings.instances_per_gpu if on_gpu else 1)
    return [devices[index % len(devices)] for index in range(number)]


def write_self_test(folder: Path) -> PageOrder:
    """Write the PDF of the self-test and return the order to read it."""
    path = folder / "self-test.pdf"
    path.write_bytes(self_test_pdf())
    return PageOrder(file_sha256(path), 1, str(path))


def self_test_pdf() -> bytes:
    """Return a PDF of one short page, which every model that reads anything reads."""
    lines = "".join(f"({line}) Tj 0 -24 Td " for line in _SELF_TEST_LINES)
    content = f"BT /F1 12 Tf 60 500 Td {lines}ET".encode()
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 496 595] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    )
    body = b"\n".join(b"%d 0 obj\n%b\nendobj" % numbered for numbered in enumerate(objects, start=1))
    return b"%PDF-1.7\n" + body + b"\ntrailer << /Root 1 0 R /Size 7 >>\n%%EOF\n"


def _kit(settings: Settings, checkpoint: Checkpoint, device: str, devices: list[str], self_test: PageOrder) -> Kit:
    render_workers = settings.render_workers or render_workers_for(device, len(devices))
    threads = settings.threads or max(1, cpu_count() // len(devices) - render_workers)
    return Kit(
        prepare=PreparePage(settings.engine, checkpoint, settings.languages),
        finish=FinishPage(settings.engine, checkpoint),
        load=functools.partial(load_engine, settings.engine, checkpoint, device, threads, settings.precision),
        self_test=self_test,
        batch_size=settings.batch_size,
        models_on_device=devices.count(device),
        render_workers=render_workers,
        page_time_limit_seconds=settings.page_time_limit_seconds,
    )
