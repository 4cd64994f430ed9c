"""Checks the Terraform: its format, its names against the provider's own schema, and its safety with checkov.

Terraform's own `validate` fetches the provider first; where that cannot be reached, this stands in for it: every
resource, argument and block is looked up in the schema that the package cdktn-provider-google carries, and what the
provider requires has to be there. Run it with `make infra`.
"""

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hcl2

HERE = Path(__file__).parent
META_ARGUMENTS = {"count", "depends_on", "for_each", "lifecycle", "provider"}
PACKAGE = "@cdktn/provider-google"


def main() -> None:
    """Run every check and end with exit code 1 when one fails."""
    tools = Path(sys.executable).parent
    mistakes = list(check_names(HERE, load_schema()))
    print("\n".join(mistakes) or "names: all known to the provider, nothing missing")
    codes = [
        subprocess.run([tools / "terraform", "fmt", "-check", "-diff", "-recursive", HERE]).returncode,
        subprocess.run([tools / "checkov", "-d", HERE, "--compact", "--quiet", "--skip-download"]).returncode,
    ]
    sys.exit(1 if mistakes or any(codes) else 0)


def load_schema() -> Mapping[str, Any]:
    """Return the provider's types by name, from the package's description of itself."""
    package = importlib.util.find_spec("cdktn_provider_google")
    assert package is not None, "cdktn-provider-google is not installed"
    assert package.origin is not None
    (archive,) = (Path(package.origin).parent / "_jsii").glob("*.jsii.tgz")
    with tarfile.open(archive) as files:
        description = files.extractfile("package/.jsii")
        assert description is not None
        types: Mapping[str, Any] = json.load(description)["types"]
    return types


def check_names(folder: Path, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each resource, argument or block that the provider does not know, or requires and lacks."""
    for path in sorted(folder.rglob("*.tf")):
        content = hcl2.loads(path.read_text())
        for keyword, prefix in (("resource", ""), ("data", "DataGoogle")):
            for block in content.get(keyword, ()):
                for kind, name, body in _named(block):
                    words = kind.removeprefix("google_").split("_")
                    title = prefix + "".join(map(str.capitalize, words))
                    where = f"{path.relative_to(folder)}: {kind}.{name}"
                    type_name = f"{PACKAGE}.{title[0].lower()}{title[1:]}.{title}Config"
                    if type_name in schema:
                        own = {each: value for each, value in body.items() if each not in META_ARGUMENTS}
                        yield from _check_block(own, type_name, schema, where)
                    else:
                        yield f"{where}: no such resource"


def _named(block: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for kind, named in block.items():
        for name, body in named.items() if isinstance(named, Mapping) else ():
            yield _plain(kind), _plain(name), body


def _check_block(body: Mapping[str, Any], type_name: str, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    known = {_snake(each["name"]): each for each in _properties(type_name, schema)}
    given = dict(_arguments(body))
    for name, value in given.items():
        if name not in known:
            yield f"{where}: {name} is not known"
        elif (inner := _struct(known[name]["type"])) in schema:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, Mapping):
                    yield from _check_block(each, inner, schema, f"{where}.{name}")
    for name, each in known.items():
        if not each.get("optional") and name not in given:
            yield f"{where}: {name} is required"


def _properties(type_name: str, schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the arguments that a resource or a block takes."""
    return list(schema[type_name].get("properties", ()))


def _arguments(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield a block's arguments and blocks by name; a dynamic block counts as its content."""
    for name, value in body.items():
        name = _plain(name)
        if name == "dynamic":
            for each in value:
                for inner, dynamic in each.items():
                    if isinstance(dynamic, Mapping):
                        yield _plain(inner), dynamic["content"]
        elif not name.startswith("__"):
            yield name, value


def _struct(kind: Mapping[str, Any]) -> str:
    """Return the name of the struct that a property holds, alone or in a list; "" when it holds none."""
    if "union" in kind:
        return next(filter(None, map(_struct, kind["union"]["types"])), "")
    if "collection" in kind:
        return _struct(kind["collection"]["elementtype"]) if kind["collection"]["kind"] == "array" else ""
    name: str = kind.get("fqn", "")
    return name if name.startswith(PACKAGE) else ""


def _plain(name: str) -> str:
    return str(ast.literal_eval(name)) if name.startswith('"') else name


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


if __name__ == "__main__":
    main()
