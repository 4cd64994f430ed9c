"""Write what is in each image as CycloneDX JSON: the packages of its lock, with hashes, licences and who needs whom.

`python containers/sbom.py FOLDER` writes `<image>.cdx.json` there. Packages and hashes come from the lock, licences and
dependencies from the metadata of the packages installed here, which must be of the locked versions. The same locks
give the same bytes: there is no time in the file, and its serial number is made from its content.
"""

import sys
import uuid
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONTAINERS = Path(__file__).parent
PACKAGE = "pagemill"
DECLARED = LicenseAcknowledgement.DECLARED
LONGEST_LICENSE_NAME = 100  # characters; some packages put their whole licence where its name belongs


class Locked(NamedTuple):
    """A package of a lock."""

    name: str
    version: str
    sha256s: tuple[str, ...]  # of its wheels and its source, any of which may be installed


def main() -> None:
    """Write the file of every image."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for lock in sorted(CONTAINERS.glob("*/requirements.txt")):
        target = folder / f"{lock.parent.name}.cdx.json"
        target.write_text(bill_of_materials(lock.parent.name, read_lock(lock)) + "\n", encoding="utf-8")
        print(target)


def read_lock(path: Path) -> list[Locked]:
    """Return the packages of a lock as `uv pip compile --generate-hashes` writes it."""
    packages = []
    for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            pin, *options = line.split()
            name, _, version = pin.partition("==")
            sha256s = (each.removeprefix("--hash=sha256:") for each in options if each.startswith("--hash=sha256:"))
            packages.append(Locked(name, version, tuple(sha256s)))
    return packages


def bill_of_materials(image: str, packages: Iterable[Locked]) -> str:
    """Return the JSON of an image."""
    packages = sorted(packages)
    bom = Bom()
    version = metadata.version(PACKAGE)
    root = Component(name=f"{PACKAGE}-{image}", version=version, type=ComponentType.CONTAINER, bom_ref=image)
    package = Component(
        name=PACKAGE,
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=PACKAGE,
        purl=PackageURL("pypi", None, PACKAGE, version),
        licenses=[LicenseFactory().make_from_string("Apache-2.0", license_acknowledgement=DECLARED)],
    )
    components = {each.name: component_of(each) for each in packages}
    bom.metadata.component, bom.metadata.timestamp = root, None  # a time would make each file another
    bom.components.update([package, *components.values()])
    bom.register_dependency(root, [package])
    bom.register_dependency(package, components.values())
    for name, component in components.items():
        bom.register_dependency(component, [components[each] for each in needs_of(name) if each in components])
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, repr((version, packages)))
    return str(JsonV1Dot6(bom).output_as_string(indent=2))


def component_of(package: Locked) -> Component:
    """Return a package as CycloneDX has it; raise ValueError when another version is installed here."""
    installed = metadata.version(package.name)
    if installed != package.version:
        raise ValueError(f"{package.name} {installed} is installed, {package.version} is locked")
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{package.name}/{package.version}/"),
        comment="its wheels and its source, one of which is installed",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in package.sha256s],
    )
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{package.name}=={package.version}",
        purl=PackageURL("pypi", None, package.name, package.version),
        external_references=[files],
        licenses=licenses_of(package.name),
    )


def licenses_of(name: str) -> list[License]:
    """Return the licence that an installed package declares: an expression, a name or classifiers; [] for none."""
    about = metadata.metadata(name)
    named = about.get("License-Expression") or about.get("License", "")
    if named and named != "UNKNOWN" and "\n" not in named and len(named) <= LONGEST_LICENSE_NAME:
        return [LicenseFactory().make_from_string(named, license_acknowledgement=DECLARED)]
    classifiers = (each.split(" :: ") for each in about.get_all("Classifier", []))
    names = {each[-1] for each in classifiers if each[0] == "License" and len(each) > 2}
    return [LicenseFactory().make_with_name(each, acknowledgement=DECLARED) for each in sorted(names)]


def needs_of(name: str) -> list[str]:
    """Return the names of the packages that an installed package needs here, without its extras."""
    wanted = map(Requirement, metadata.requires(name) or [])
    return sorted({canonicalize_name(each.name) for each in wanted if not each.marker or each.marker.evaluate()})


if __name__ == "__main__":
    main()
