"""The smoke test of an image, run inside its environment: what must be there, what must not, and that it works.

Without `--demo` it looks at what is installed, in seconds; the Dockerfiles do that. With it, the image's components
make chunks of a sample archive, each started by the very command that a cluster gives its container; an image of deck
review runs a task on a sample deck.
"""

import argparse
import ast
import dataclasses
import importlib
import importlib.util
import inspect
import json
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

ARCHIVE = "secret.rar"  # of the demo: one book of five pages behind a password
LIMIT_SECONDS = 120
NOWHERE = "http://127.0.0.1:9"  # proxies lead there, so that nothing is fetched unnoticed


@dataclasses.dataclass(frozen=True)
class Image:
    """What an image promises."""

    name: str
    extras: tuple[str, ...]  # of the package
    absent: tuple[str, ...]  # packages that it must do without
    checks: tuple[Callable[[argparse.Namespace], None], ...]
    engine: str = ""  # that can read pages in it; empty for one that runs no components


def main() -> None:
    """Run the checks of one image and print each as it passes; the first that fails ends it with a traceback."""
    arguments = parse_arguments()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ.update(PATH=path, http_proxy=NOWHERE, https_proxy=NOWHERE, no_proxy="127.0.0.1,localhost")
    image = IMAGES[arguments.image]
    for check in (check_version, check_requirements, check_absences, *image.checks):
        started = time.monotonic()
        check(arguments)
        print(f"{image.name}: {check.__name__.replace('_', ' ')}: {time.monotonic() - started:.1f} s", flush=True)
    if arguments.demo and image.engine:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="pagemill-smoke-") as folder:
            chunks = read_archive(Pipeline(Path(folder)), image, arguments.demo)
            print(f"{image.name}: {chunks} chunks of {ARCHIVE}: {time.monotonic() - started:.1f} s", flush=True)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("image", choices=IMAGES)
    parser.add_argument("--version", help="that pagemill must have; default: any")
    parser.add_argument("--server", type=Path, help="folder of app.py and health.py")
    parser.add_argument("--demo", type=Path, help="the repository's demo folder, to work on its samples")
    return parser.parse_args()


def check_version(arguments: argparse.Namespace) -> None:
    """The command runs and has the version of the image's tag, and the package comes from this environment."""
    origin = importlib.import_module("pagemill").__file__ or ""
    assert Path(origin).is_relative_to(sys.prefix), f"pagemill is that of {origin}"
    command = Path(sys.executable).with_name("pagemill")
    shown = subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    assert shown == metadata.version("pagemill"), shown
    assert arguments.version in (None, shown), f"the image is {arguments.version}, pagemill in it is {shown}"


def check_requirements(arguments: argparse.Namespace) -> None:
    """Everything that pagemill and the image's extras require is there, of a version they allow."""
    from packaging.requirements import Requirement

    wanted = [Requirement(each) for each in metadata.requires("pagemill") or []]
    for extra in ("", *IMAGES[arguments.image].extras):
        for requirement in wanted:
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                found = metadata.version(requirement.name)
                assert requirement.specifier.contains(found, prereleases=True), f"{requirement}: there is {found}"


def check_absences(arguments: argparse.Namespace) -> None:
    """What the image is to do without is not in it."""
    installed = {each.name for each in metadata.distributions()}
    present = installed.intersection(IMAGES[arguments.image].absent)
    assert not present, f"{', '.join(present)} should not be here"


def check_components(arguments: argparse.Namespace) -> None:
    """Every component of this image finds what it imports."""
    found = list(components_of(arguments.image))
    assert found, "no component runs in this image"
    for component in found:
        tree = ast.parse(inspect.getsource(component.python_func))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), component.name, "exec"), {})  # noqa: S102  # our own imports


def components_of(image: str) -> Iterator[Any]:
    """Yield the components that run in an image."""
    package = importlib.import_module("pagemill.components")
    for found in pkgutil.iter_modules(package.__path__):
        component = getattr(importlib.import_module(f"{package.__name__}.{found.name}"), found.name, None)
        if component is not None and name_of(component.component_spec.implementation.container.image) == image:
            yield component


def name_of(reference: str) -> str:
    """Return the name of an image, without registry, tag and digest."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[0]


def check_words(arguments: argparse.Namespace) -> None:
    """NLTK has the corpus that Nougat looks into."""
    words = importlib.import_module("nltk.corpus").words
    assert len(words.words()) > 200_000, "the corpus is not whole"


def check_cuda(arguments: argparse.Namespace) -> None:
    """The torch in the image is one for GPUs, with NCCL."""
    torch = importlib.import_module("torch")
    assert torch.version.cuda, "torch was built without CUDA"
    assert torch.distributed.is_nccl_available(), "torch was built without NCCL"


def check_server(arguments: argparse.Namespace) -> None:
    """The server's module can be imported; with the demo it also answers for a book."""
    import_server(arguments)
    if not arguments.demo:
        return
    with tempfile.TemporaryDirectory(prefix="pagemill-smoke-") as folder:
        pdf = Pipeline(Path(folder)).extract(arguments.demo)
        assert_serves(arguments.server, arguments.demo, pdf)


def check_review(arguments: argparse.Namespace) -> None:
    """The server's module can be imported; with the demo it also runs a task on a deck, with a scripted model."""
    import_server(arguments)
    if arguments.demo:
        importlib.import_module("smoke_decks").assert_reviews(arguments.image, arguments.server, arguments.demo)


def import_server(arguments: argparse.Namespace) -> None:
    """Import the server's module, which starts nothing."""
    assert arguments.server, "give --server"
    spec = importlib.util.spec_from_file_location("pagemill_server", arguments.server / "app.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def assert_serves(server: Path, demo: Path, pdf: Path) -> None:
    """Start the server on a free port, wait until it is healthy, and have it read the first page of a PDF."""
    port = free_port()
    environment = os.environ | {"AIP_HTTP_PORT": str(port), "PAGEMILL_CHECKPOINT": str(demo / "checkpoint")}
    with subprocess.Popen([sys.executable, server / "app.py"], env=environment) as process:
        try:
            base = f"http://127.0.0.1:{port}"
            wait_until(lambda: process.poll() is None and healthy(f"{base}/health"))
            body = {"instances": [{"b64": b64encode(pdf.read_bytes()).decode(), "pages": "1"}]}
            request = Request(f"{base}/predict", json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
            with urlopen(request, timeout=LIMIT_SECONDS) as response:  # noqa: S310
                (prediction,) = json.load(response)["predictions"]
        finally:
            process.terminate()
    assert process.returncode == 0, f"the server ended with {process.returncode}"
    (page,) = prediction["pages"]
    assert page["text"] == truth(demo)[prediction["pdf_sha256"], page["page"]], page["text"]


def free_port() -> int:
    """Return a port that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def healthy(url: str) -> bool:
    """Say whether a server answers for its health."""
    try:
        with urlopen(url, timeout=10) as response:  # noqa: S310
            return bool(response.status == 200)
    except OSError:
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when a condition holds; raise TimeoutError when it does not for too long."""
    end = time.monotonic() + LIMIT_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError("the server did not become healthy")
        time.sleep(0.2)


def truth(demo: Path) -> dict[tuple[str, int], str]:
    """Return the text of every page of the demo, by PDF and page."""
    rows = map(json.loads, (demo / "truth.jsonl").read_text().splitlines())
    return {(row["pdf_sha256"], row["page"]): row["text"] for row in rows}


class Pipeline:
    """Runs components as a cluster does: their container's command, with parameters and artifacts as its input."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.artifacts: dict[str, Path] = {}

    def run(self, name: str, **parameters: Any) -> Any:
        """Run a component on the artifacts that are there under its inputs' names, and return its return value."""
        component = getattr(importlib.import_module(f"pagemill.components.{name}"), name)
        spec = component.component_spec
        outputs = [each for each in spec.outputs or {} if each != "Output"]
        self.artifacts.update({each: self.folder / name / each for each in outputs})
        result = self.folder / name / "output.json"
        request = {
            "inputs": {
                "parameterValues": {"store": str(self.store), **parameters},
                "artifacts": {each: self._artifact(each) for each in spec.inputs if each in self.artifacts},
            },
            "outputs": {"artifacts": {each: self._artifact(each) for each in outputs}, "outputFile": str(result)},
        }
        container = spec.implementation.container
        words = [json.dumps(request) if each == "{{$}}" else each for each in (*container.command, *container.args)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        return json.loads(result.read_text()).get("parameterValues", {}).get("Output")

    def _artifact(self, name: str) -> dict[str, Any]:
        kind = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}
        return {"artifacts": [{"name": name, "type": kind, "uri": str(self.artifacts[name]), "metadata": {}}]}

    def extract(self, demo: Path) -> Path:
        """Unpack the archive and return its PDF."""
        self.run("discover_archives", source=str(demo / "samples"), source_fingerprint="smoke", pattern=ARCHIVE)
        (shard,) = self.run("plan_shards")
        self.run("extract_pdfs", shard=shard, passwords=str(demo / "passwords.txt"))
        (pdf,) = (self.store / "pdf").glob("*.pdf")
        return pdf


def read_archive(pipeline: Pipeline, image: Image, demo: Path) -> int:
    """Make chunks of the archive with the image's engine and return how many there are."""
    pdf = pipeline.extract(demo)
    pipeline.run("inspect_pdfs")
    pipeline.run("recognize_pages", checkpoint=str(demo / "checkpoint"), engine=image.engine)
    pages = [json.loads(line) for path in pipeline.store.glob("pages/*/*.jsonl") for line in path.open()]
    assert len(pages) == 5, pages
    assert all(page["status"] == "ok" for page in pages), pages
    if image.engine == "nougat":
        known = truth(demo)
        assert all(page["text"] == known[pdf.stem, page["page"]] for page in pages), pages
    pipeline.run("clean_documents")
    pipeline.run("chunk_documents", target_tokens=128, max_tokens=256)
    return sum(len(path.read_text().splitlines()) for path in pipeline.store.glob("chunks/*/*.jsonl"))


TORCH = ("nougat-ocr", "torch", "torchvision", "transformers")
DATABASES = ("alembic", "dbos", "sqlalchemy")  # deck review's servers hold none
OCR = ("onnxruntime", "opencv-python-headless", "rapidocr")
IMAGES = {
    image.name: image
    for image in (
        Image("pipeline", ("cloud", "models", "rapidocr"), TORCH + DATABASES, (check_components,), "rapidocr"),
        Image(
            "nougat",
            ("ocr", "rapidocr", "serve"),
            DATABASES,
            (check_components, check_words, check_cuda, check_server),
            "nougat",
        ),
        Image("vision", ("container", "models", "rapidocr"), TORCH + DATABASES, (check_review,)),
        Image("text", ("container", "models"), TORCH + DATABASES + OCR, (check_review,)),
    )
}

if __name__ == "__main__":
    main()
