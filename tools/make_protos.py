"""Generates the Python stubs of every proto file, or checks that they are fresh.

Run by ``make protos`` and, with ``--check``, by ``make check``, with the interpreter of
``.venv-protos``, whose versions ``requirements-protos.txt`` pins apart from everything else.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
# The path under protos/ is the import path; each package has its own source root.
SOURCE_ROOTS = {"gapless": ROOT / "client", "gapless_server": ROOT / "service"}
NAMES_OF_GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")
PLUGINS = Path(sys.executable).parent


def generate(package: str, destination: Path) -> None:
    """Writes the stubs of every proto file of `package` below `destination`.

    Raises SystemExit, after protoc has printed the fault, if protoc refuses a file.
    """
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    files = [str(path) for path in sorted((PROTOS / package).rglob("*.proto"))]
    with_services = [path for path in files if "\nservice " in Path(path).read_text()]
    common = ["protoc", f"-I{PROTOS}", f"-I{well_known}"]
    plugins = [
        f"--plugin=protoc-gen-mypy={PLUGINS / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={PLUGINS / 'protoc-gen-mypy_grpc'}",
    ]
    messages = [*common, *plugins, f"--python_out={destination}", f"--mypy_out=quiet:{destination}"]
    services = [*common, *plugins, f"--grpc_python_out={destination}"]
    services.append(f"--mypy_grpc_out=quiet:{destination}")
    if protoc.main([*messages, *files]) != 0:
        raise SystemExit(f"make_protos: protoc refused the files of {package}")
    if with_services and protoc.main([*services, *with_services]) != 0:
        raise SystemExit(f"make_protos: protoc refused the services of {package}")


def generated_files(root: Path, package: str) -> dict[Path, Path]:
    """Maps each generated file's path relative to `root` to the file itself."""
    found = (path for name in NAMES_OF_GENERATED for path in (root / package).rglob(name))
    return {path.relative_to(root): path for path in found}


def main() -> None:
    check = sys.argv[1:] == ["--check"]
    stale: list[str] = []
    for package, source_root in SOURCE_ROOTS.items():
        with tempfile.TemporaryDirectory() as directory:
            fresh_root = Path(directory)
            generate(package, fresh_root)
            fresh = generated_files(fresh_root, package)
            present = generated_files(source_root, package)
            for name in sorted(fresh.keys() | present.keys()):
                same = name in fresh and name in present
                if same and filecmp.cmp(fresh[name], present[name], shallow=False):
                    continue
                stale.append(str(source_root.relative_to(ROOT) / name))
                if check:
                    continue
                if name in fresh:
                    (source_root / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(fresh[name], source_root / name)
                else:
                    present[name].unlink()
    if check and stale:
        raise SystemExit("make_protos: stale, run `make protos`:\n  " + "\n  ".join(stale))
    print(f"make_protos: {len(stale)} files {'stale' if check else 'written'}")


if __name__ == "__main__":
    main()
