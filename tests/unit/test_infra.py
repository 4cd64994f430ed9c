"""The Terraform: variables are typed and told of, roles are narrow, outputs are settings, mistakes in it are found."""

import functools
import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hcl2
import pytest

from pagemill.settings import Settings

INFRA = Path(__file__).parents[2] / "infra"
FILES = sorted(INFRA.rglob("*.tf"))
BROAD = re.compile(r"roles/(owner|editor|viewer|.*[aA]dmin)$")


@functools.cache
def parsed(path: Path) -> dict[str, Any]:
    return hcl2.loads(path.read_text())


def blocks(keyword: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the blocks of a kind in all files: file, name, body."""
    for path in FILES:
        for block in parsed(path).get(keyword, ()):
            for name, body in block.items():
                if isinstance(body, dict):
                    yield str(path.relative_to(INFRA)), name.strip('"'), body


def check() -> ModuleType:
    """The script that `make infra` runs."""
    spec = importlib.util.spec_from_file_location("infra_check", INFRA / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_variable_has_a_type_and_a_description() -> None:
    assert [(path, name) for path, name, body in blocks("variable") if not {"type", "description"} <= body.keys()] == []


def test_every_output_has_a_description() -> None:
    assert [(path, name) for path, name, body in blocks("output") if "description" not in body] == []


def test_every_variable_is_used() -> None:
    for folder in {path.parent for path in FILES}:
        text = "".join(path.read_text() for path in folder.glob("*.tf"))
        unused = [name for name in re.findall(r'^variable "(\w+)"', text, re.M) if f"var.{name}" not in text]
        assert unused == [], folder


def test_every_module_is_given_what_it_wants_and_no_more() -> None:
    for _, name, body in blocks("module"):
        wanted = {each: inner for path, each, inner in blocks("variable") if path == f"modules/{name}/main.tf"}
        given = body.keys() - {"source", "count", "depends_on", "__is_block__", "__comments__"}
        assert given <= wanted.keys(), name
        assert {each for each, inner in wanted.items() if "default" not in inner} <= given, name


def test_roles_are_narrow() -> None:
    roles = {role for path in FILES for role in re.findall(r'"(roles/[\w.]+)"', path.read_text())}
    assert "roles/storage.objectUser" in roles
    assert [role for role in roles if BROAD.match(role)] == []


def test_nobody_has_a_key_and_no_secret_has_a_value_in_terraform() -> None:
    kinds = {name for _, name, _ in blocks("resource")}
    assert "google_secret_manager_secret" in kinds
    assert kinds & {"google_service_account_key", "google_secret_manager_secret_version"} == set()


def test_no_gpu_runs_while_there_is_no_work() -> None:
    text = (INFRA / "modules/cluster/main.tf").read_text()
    assert re.search(r"gpu = \{[^}]*min = 0,", text)


def test_the_settings_it_writes_are_settings() -> None:
    (text,) = re.findall(r"<<-EOT\n(.*?)\n\s*EOT", (INFRA / "outputs.tf").read_text(), re.S)
    written = tomllib.loads(re.sub(r'\$\{.*?\}"\n|\$\{.*?\}', lambda found: 'x"\n' if "\n" in found[0] else "x", text))
    assert set(written) == {"bucket", "hf_token", "vertex", "images"}
    Settings.model_validate(written)


def test_the_example_gives_variables_that_are_there() -> None:
    names = re.findall(r"^#?\s*(\w+)\s*=", (INFRA / "terraform.tfvars.example").read_text(), re.M)
    assert names
    assert set(names) <= {name for path, name, _ in blocks("variable") if path == "variables.tf"}


SCHEMA = {
    "@cdktn/provider-google.thing.ThingConfig": {
        "properties": [
            {"name": "displayName", "type": {"primitive": "string"}},
            {"name": "spot", "optional": True, "type": {"primitive": "boolean"}},
            {"name": "taint", "optional": True, "type": {"fqn": "@cdktn/provider-google.thing.ThingTaint"}},
        ]
    },
    "@cdktn/provider-google.thing.ThingTaint": {"properties": [{"name": "key", "type": {"primitive": "string"}}]},
}


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ('resource "google_thing" "a" {\n  display_name = "x"\n  count = 2\n}\n', []),
        ('resource "google_thing" "a" {\n  display_name = "x"\n  sopt = true\n}\n', ["sopt is not known"]),
        ('resource "google_thing" "a" {\n  spot = true\n}\n', ["display_name is required"]),
        ('resource "google_thong" "a" {\n}\n', ["no such resource"]),
        ('resource "google_thing" "a" {\n  display_name = "x"\n  taint {\n  }\n}\n', ["key is required"]),
        (
            'resource "google_thing" "a" {\n  display_name = "x"\n  dynamic "taint" {\n    for_each = [1]\n'
            '    content {\n      kee = "x"\n    }\n  }\n}\n',
            ["kee is not known", "key is required"],
        ),
    ],
)
def test_the_check_finds_what_the_provider_would_refuse(tmp_path: Path, text: str, mistakes: list[str]) -> None:
    (tmp_path / "main.tf").write_text(text)
    found = list(check().check_names(tmp_path, SCHEMA))
    assert [line.rpartition(": ")[2] for line in found] == mistakes
