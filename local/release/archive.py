"""Archives whose bytes follow from their content alone: sorted entries, one time, fixed permissions, no owner."""

import gzip
import io
import tarfile
import time
import zipfile
from pathlib import Path

PROGRAM, FILE = 0o755, 0o644
_UNIX = 3  # the system that made the zip, so that its permissions count


def write_zip(path: Path, files: dict[str, bytes], epoch: int, programs: frozenset[str] = frozenset()) -> None:
    """A zip of `files`, by their names in it. `programs` may be executed."""
    # A zip knows no earlier year, and no odd second.
    moment = max(time.gmtime(epoch)[:6], (1980, 1, 1, 0, 0, 0))
    with zipfile.ZipFile(path, "w") as made:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, moment)
            entry.create_system = _UNIX
            entry.external_attr = (0o100000 | (PROGRAM if name in programs else FILE)) << 16
            made.writestr(entry, files[name], zipfile.ZIP_DEFLATED, 9)


def write_tar(path: Path, files: dict[str, bytes], epoch: int, programs: frozenset[str] = frozenset()) -> None:
    """A compressed tar of `files`, all in a folder of the archive's name."""
    folder = path.name.removesuffix(".tar.gz")
    with (
        path.open("wb") as out,
        gzip.GzipFile("", "wb", 9, out, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as made,
    ):
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime = len(files[name]), epoch
            entry.mode = PROGRAM if name in programs else FILE
            made.addfile(entry, io.BytesIO(files[name]))


def read_tar(path: Path) -> dict[str, bytes]:
    """The files of an archive that `write_tar` made, without its folder. Raises ValueError for another form."""
    folder = path.name.removesuffix(".tar.gz") + "/"
    found = {}
    with tarfile.open(path, "r:gz") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isfile() else None
            if content is None or not entry.name.startswith(folder) or ".." in entry.name.split("/"):
                raise ValueError(f"{path.name} has the entry {entry.name}: expected files in {folder} alone")
            found[entry.name.removeprefix(folder)] = content.read()
    return found
