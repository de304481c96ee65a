"""Find a benchmark's images by the paths in its labels."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from workflow_scripts.common.class_folders import folders_below, is_image
from workflow_scripts.common.errors import InputError

URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
DRIVE = re.compile(r"[a-z]:[\\/]", re.IGNORECASE)


class ImageFolder:
    """The folder of a benchmark's images.

    Args:
        folder: the folder.
        by_name: find images also by their file name, anywhere in the folder.
    """

    def __init__(self, folder: Path, *, by_name: bool = False) -> None:
        self.folder = folder
        self._absolute = {folder.absolute(), folder.resolve()}
        below = folders_below(folder) if by_name else ()
        self._named = _by_name(Path(at) / name for at, names in below for name in sorted(names))
        self._by_name = by_name
        self._beside: dict[Path, Mapping[str, Sequence[Path]]] = {}

    def find(self, image: str, where: str) -> Path:
        """The file of an image; it need not exist.

        Backslashes separate folders if no file has them in its name. A name that differs only in case, in its missing
        suffix or in the composition of its letters (macOS) is found if it is the only one.

        Args:
            image: the path in the labels.
            where: file and row, for messages.

        Raises:
            InputError: the path is empty, is a URL or leaves the folder, or several files have the name.
        """
        if not image.strip("./") or "\0" in image:
            raise InputError(f"{where}: filepath {image!r} is empty or not a valid path")
        if URL.match(image):
            raise InputError(f"{where}: filepath {image!r} is a URL; download the images and write their file names")
        path = PurePosixPath(image)
        if "\\" in image and not _is_file(self.folder / path):
            path = PurePosixPath(image.replace("\\", "/"))
        path = next((path.relative_to(base) for base in self._absolute if path.is_relative_to(base)), path)
        is_below = not path.is_absolute() and ".." not in path.parts and not DRIVE.match(image)
        if is_below and (_is_file(self.folder / path) or not self._by_name):
            return self._alike(self.folder / path)
        if not self._by_name:
            raise InputError(
                f"{where}: filepath {image!r} leads out of the image folder {self.folder}; write paths relative to it, "
                "or set `find: name` to find images by their file names"
            )
        found = _named(path.name, self._named) or [self.folder / path.name]
        if len(found) > 1:
            raise InputError(
                f"{where}: {self.folder} contains {len(found)} files named {path.name}; write the path of one of them "
                "as filepath"
            )
        return found[0]

    def _alike(self, path: Path) -> Path:
        """The file itself, or if it does not exist, the only one beside it with an equivalent name."""
        if _is_file(path) or not path.parent.is_dir():
            return path
        if path.parent not in self._beside:
            self._beside[path.parent] = _by_name(sorted(path.parent.iterdir()))
        found = _named(path.name, self._beside[path.parent])
        return found[0] if len(found) == 1 else path


def _is_file(path: Path) -> bool:
    """Whether a file exists; labels may have names that are too long for any."""
    try:
        return path.is_file()
    except OSError:
        return False


def _by_name(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by name, images also by name without suffix."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(_key(path.name), []).append(path)
        if is_image(path.name):
            found.setdefault(_key(path.stem), []).append(path)
    return found


def _named(name: str, files: Mapping[str, Sequence[Path]]) -> Sequence[Path]:
    """The files with exactly this name, or else those with an equivalent one."""
    alike = files.get(_key(name), ())
    return [path for path in alike if path.name == name] or alike


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).lower()
