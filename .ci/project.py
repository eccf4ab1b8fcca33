"""What .ci/run needs to know of the project, read from where it is written down.

python .ci/project.py command 1      the first command that the README opens with
python .ci/project.py requirements test docs dev
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commands() -> list[str]:
    """The shell blocks before the README's first section: there must be two."""
    opening = (ROOT / "README.md").read_text().partition("\n## ")[0]
    found = re.findall(r"^```sh\n(.*?)\n```$", opening, re.M | re.S)
    if len(found) != 2:
        sys.exit(f"README.md must open with two commands; it has {len(found)}")
    return found


def requirements(extras: list[str]) -> list[str]:
    """What the extras need, without the package itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: list[str] = []
    for extra in extras:
        for requirement in project["optional-dependencies"][extra]:
            own = re.fullmatch(rf"{project['name']}\[(.*)\]", requirement)
            found += requirements(own[1].split(",")) if own else [requirement]
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    if sys.argv[1] == "command":
        print(commands()[int(sys.argv[2]) - 1])
    else:
        print("\n".join(requirements(sys.argv[2:])))
