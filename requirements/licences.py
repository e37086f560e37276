"""Writes docs/licences.md: what the dependencies in the two images ask of those who pass the images on.

    python requirements/licences.py docs/licences.md

Names and versions come from the lock files, licences from what each installed package declares. A licence that this
file does not know stops it: read the licence, and say here what it asks.
"""

from __future__ import annotations

import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from piplicenses_lib import FromArg, PackageInfo, get_packages

FOLDER = Path(__file__).parent
IMAGES = ("serving", "pipeline")
# the images' Python and platform, as deploy/ has them
IN_IMAGES = {
    "implementation_name": "cpython",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "python_full_version": "3.12.0",
    "python_version": "3.12",
    "sys_platform": "linux",
}

LGPL_ASKS = "its source, or where it is; the texts of LGPL and GPL; that the library may be replaced in the image"
COPYLEFT_ASKS = {
    "LGPL-3.0-only": LGPL_ASKS,
    "LGPL-3.0-or-later WITH an exception for OpenSSL": LGPL_ASKS,
    "MPL-2.0": "its source, or where it is; the licence's text",
}
# what a licence asks, from nothing to most
NOTHING, NOTICE, APACHE, COPYLEFT = range(4)
ASKS = {
    "0BSD": NOTHING,
    "CC0-1.0": NOTHING,
    "MIT-0": NOTHING,
    "BSD-2-Clause": NOTICE,
    "BSD-3-Clause": NOTICE,
    "CNRI-Python": NOTICE,
    "ISC": NOTICE,
    "MIT": NOTICE,
    "MIT-CMU": NOTICE,
    "PSF-2.0": NOTICE,
    "Zlib": NOTICE,
    "Apache-2.0": APACHE,
    "Apache-2.0 WITH LLVM-exception": APACHE,
    **dict.fromkeys(COPYLEFT_ASKS, COPYLEFT),
}
SPDX = {
    "Apache 2.0": "Apache-2.0",
    "Apache License Version 2.0": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "MIT license": "MIT",
}
# what these declare leaves open which licence it is, so their licence files were read
READ = {
    "antlr4-python3-runtime": "BSD-3-Clause",
    "blinker": "MIT",
    "itsdangerous": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "markdown-it-py": "MIT",
    "mdurl": "MIT",
    "obstore": "MIT",
    "pathlib-abc": "PSF-2.0",
    "psycopg2-binary": "LGPL-3.0-or-later WITH an exception for OpenSSL",
    "pyasn1-modules": "BSD-2-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "scipy": "BSD-3-Clause",
    "uvloop": "MIT OR Apache-2.0",
}

HEAD = """# Licences

What the dependencies in the two images ask of those who pass the images on. `make licences` writes this page from
`requirements/serving.txt` and `requirements/pipeline.txt` and from what each package declares; a test compares it. The
page is a list of facts, not legal advice.

Leadscore itself is [proprietary](../README.md#licence). It changes none of these packages. Using them inside your
organisation asks nothing; passing an image on does.
"""
GROUPS = {
    COPYLEFT: """## Offer the source

The licence covers the package, not Leadscore. Whoever passes on an image must say that the package is in it, and give
what the last column names. In the images each package is a folder of its own that can be replaced, and its unchanged
source is the published release of that version.
""",
    APACHE: """## Pass on the licence and the notices

Keep the licence's text and the copyright notices, and the `NOTICE` file where a package has one. Mark files that you
change. A claim that such a package breaks your patents ends your right to use it.
""",
    NOTICE: """## Pass on the licence

Keep the copyright notice and the licence's text. BSD-3-Clause also forbids advertising with the authors' names.
""",
    NOTHING: """## No demands

These ask nothing.
""",
}
TAIL = """## Texts and notices

An image holds the licence files of each package in its `*.dist-info` folder, below `site-packages`. So it carries the
texts above with it, with these exceptions and additions:

{notes}
- The images start from `python:3.12-slim`, which is CPython (PSF-2.0) on Debian; `/usr/share/doc/*/copyright` in the
  image has the licences of Debian's packages.
- Not all wheels under the LGPL hold its text and the GPL's. Debian has both in `/usr/share/common-licenses`.
- `docker-compose.yml` also names images of PostgreSQL, Prometheus and Grafana (AGPL-3.0). They come from their makers;
  to those of Prometheus and Grafana we add our configuration alone.
"""


class UnknownLicence(Exception):
    """A package declares a licence that this file does not know."""


@dataclass(frozen=True)
class Dependency:
    """A package in an image: its version there, its licence, and the images that hold it."""

    name: str
    version: str
    licence: str
    images: tuple[str, ...]

    def row(self, asks: int) -> str:
        """Return the package's line in the table of those that ask this."""
        cells = [self.name, self.version, self.licence, " and ".join(self.images)]
        if asks == COPYLEFT:
            cells.append("; ".join(COPYLEFT_ASKS[part] for part in parts(self.licence) if part in COPYLEFT_ASKS))
        return f"| {' | '.join(cells)} |"


def page() -> str:
    """Return the whole of docs/licences.md."""
    installed = {package.name: package for package in get_packages(FromArg.META)}
    dependencies = [
        Dependency(name, version, licence_of(installed[name]), images) for name, (version, images) in pins().items()
    ]
    groups = [group(asks, [one for one in dependencies if demand(one.licence) == asks]) for asks in GROUPS]
    notes = "\n".join(notes_on([installed[one.name] for one in dependencies]))
    return "\n".join([HEAD, *filter(None, groups), TAIL.format(notes=notes)])


def pins() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the version of each package in the images, and the images that hold it, by name."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for image in IMAGES:
        for line in (FOLDER / f"{image}.txt").read_text().splitlines():
            if not re.match(r"\w", line):
                continue
            pin = Requirement(line.removesuffix(" \\"))
            if pin.marker is None or pin.marker.evaluate(IN_IMAGES):
                name = canonicalize_name(pin.name)
                found[name] = (next(iter(pin.specifier)).version, (*found.get(name, ("", ()))[1], image))
    return dict(sorted(found.items()))


def licence_of(package: PackageInfo) -> str:
    """Return the package's licence as an SPDX expression. Raises UnknownLicence."""
    declared = READ.get(package.name, SPDX.get(package.license, package.license))
    if all(part in ASKS for part in parts(declared)):
        return declared
    raise UnknownLicence(
        f"{package.name} {package.version} declares the licence {declared[:60]!r}, which requirements/licences.py does"
        " not know. Read the package's licence file, then add the licence to ASKS, or the package to READ."
    )


def parts(licence: str) -> list[str]:
    """Return the licences that an expression is made of."""
    return re.split(" AND | OR ", licence)


def demand(licence: str) -> int:
    """Return what the expression asks: of alternatives the least, of licences that hold together the most."""
    return min(max(ASKS[part] for part in choice.split(" AND ")) for choice in licence.split(" OR "))


def group(asks: int, dependencies: list[Dependency]) -> str:
    """Return the section of those that ask this, or nothing."""
    head = ["package", "version", "licence", "image", *(["what it asks"] if asks == COPYLEFT else [])]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(one.row(asks) for one in dependencies)]
    return GROUPS[asks] + "\n" + "\n".join(lines) + "\n" if dependencies else ""


def notes_on(packages: list[PackageInfo]) -> list[str]:
    """Return what the packages' files say beyond their licences, as lines of a list."""
    without = [package.name for package in packages if not package.licenses]
    noticed = [package.name for package in packages if package.notices]
    compiled = [package.name for package in packages if brings_libraries(package)]
    notes = [
        f"Without a licence file: {listed(without)}. Add the text yourself.",
        f"With a `NOTICE` file, which has to be kept: {listed(noticed)}.",
        f"With compiled libraries of others, whose licences hold, too: {listed(compiled)}. Their licence files, or the"
        " lists of parts in `*.dist-info/sboms`, name them. Among them are OpenSSL and libpq, and GCC's runtime"
        " libraries (GPL-3.0 with the GCC Runtime Library Exception).",
    ]
    return [textwrap.fill(f"- {note}", 120, subsequent_indent="  ", break_on_hyphens=False) for note in notes]


def brings_libraries(package: PackageInfo) -> bool:
    """Say whether the package's wheel was packed together with shared libraries from elsewhere."""
    return any(re.match(r"[\w.]+\.libs/", str(file)) for file in package.distribution.files or ())


def listed(names: list[str]) -> str:
    """Return the names as they stand in a sentence."""
    return ", ".join(f"`{name}`" for name in names) or "none"


if __name__ == "__main__":
    try:
        Path(sys.argv[1]).write_text(page())
    except UnknownLicence as unknown:
        sys.exit(str(unknown))
