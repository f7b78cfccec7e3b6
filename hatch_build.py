"""Compiles service/gapless_server/compiled when the package is built or installed.

It takes a C compiler and Python's headers. Without them the package is built as one of Python
alone: it does the same, and takes two to three times as long for posted messages.

`python hatch_build.py FOLDER` compiles them in a copy of the repository.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCES = Path("service")
_PACKAGE = Path("gapless_server/compiled")


class CompiledParts(BuildHookInterface):  # type: ignore[type-arg]  # of no interest here
    """Puts the compiled modules beside their sources, and into a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles what is not there yet, or older than its sources."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        try:
            modules = compiled_modules(root)
        except Exception as error:  # whatever a compiler, or the lack of one, may come up with
            self.app.display_warning(
                f"gapless is built without its compiled modules, and so is slower: {error}."
                " They take a C compiler and Python's headers (on Debian: gcc python3-dev)."
            )
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if version != "editable":
            for module in modules:
                build_data["force_include"][str(module)] = str(_PACKAGE / module.name)


def compiled_modules(root: Path) -> list[Path]:
    """Returns the compiled modules, made anew where they are not up to date."""
    from setuptools.command.build_ext import build_ext
    from setuptools.dist import Distribution

    folder = root / _SOURCES / _PACKAGE
    names = sorted(path.stem for path in folder.glob("*.pyx"))
    suffix = build_ext(Distribution()).get_ext_filename("")
    made = [folder / f"{name}{suffix}" for name in names]
    sources = [Path(__file__).resolve(), *folder.glob("*.pyx"), *folder.glob("*.pxd")]
    newest = max(path.stat().st_mtime for path in sources)
    if all(path.exists() and path.stat().st_mtime > newest for path in made):
        return made
    with tempfile.TemporaryDirectory() as directory:
        _compile(root, names, Path(directory))
        for path in made:
            # Moved there, not written over: a service that runs goes on with the file it has.
            draft = path.with_suffix(".new")
            draft.write_bytes((Path(directory) / _PACKAGE / path.name).read_bytes())
            draft.replace(path)
    return made


def _compile(root: Path, names: list[str], into: Path) -> None:
    from Cython.Build import cythonize
    from setuptools import Extension
    from setuptools.command.build_ext import build_ext
    from setuptools.dist import Distribution

    before = Path.cwd()
    os.chdir(root)
    try:
        extensions = cythonize(
            [
                Extension(
                    ".".join((*_PACKAGE.parts, name)),
                    [str(_SOURCES / _PACKAGE / f"{name}.pyx")],
                    extra_compile_args=[] if os.name == "nt" else ["-O2", "-g0"],
                )
                for name in names
            ],
            include_path=[str(_SOURCES)],
            build_dir=str(into / "c"),
            quiet=True,
        )
        command = build_ext(Distribution({"name": "gapless", "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(into), str(into / "temp")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)


if __name__ == "__main__":
    compiled_modules(Path(sys.argv[1]))
