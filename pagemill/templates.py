"""HTML pages from templates: what is put into them is escaped, and what is missing is an error."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def html_templates(package: str) -> "jinja2.Environment":
    """Return the Jinja environment of the templates beside a package's modules; `number` groups thousands."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = "{:,}".format
    return environment
