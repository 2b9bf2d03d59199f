"""Data sets whose published files lie under one folder of the data root, where torchvision downloads them to."""

import hashlib
import shutil
from abc import abstractmethod
from contextlib import ExitStack, suppress
from math import inf
from pathlib import Path
from typing import ClassVar

from datamodules.augment import Augmentation
from datamodules.base import ImageDataModule, data_root
from datamodules.functional.locks import taken


class PublishedDataModule(ImageDataModule):
    """Images from published files under ``<root>/<folder>``.

    Args:
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.
        download: fetch what is absent.

    The other arguments are ImageDataModule's.

    Raises:
        FileNotFoundError: absent files, before training starts.
    """

    folder: ClassVar[str]
    layout: ClassVar[str]  # the files expected in ``folder``, in words
    source: ClassVar[str]  # torchvision's class that downloads them

    def __init__(
        self,
        root: str | None = None,
        download: bool = False,
        batch_size: int = 64,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        super().__init__(batch_size, seed, augment, device, val_images)
        self.root = data_root(root)
        self.download = download

    @abstractmethod
    def fetch(self, root: Path) -> None:
        """Download the files to below ``root``, as they lie below the data root."""

    @property
    @abstractmethod
    def files(self) -> list[Path]:
        """The paths of all files that both splits are read from."""

    @property
    def absent(self) -> Path | None:
        """The first of ``files`` that is not there."""
        return next((path for path in self.files if not path.is_file()), None)

    def prepare_data(self) -> None:
        """Download what is absent where asked to, else raise FileNotFoundError."""
        if self.download and self.absent:
            self._try_to_fetch()
        self.require_files()

    def require_files(self) -> None:
        """Raise FileNotFoundError where a file is absent."""
        if absent := self.absent:
            raise FileNotFoundError(
                f"{self.name}: {absent} is absent; the layout is {self.folder}/ with {self.layout}, as"
                f" torchvision.datasets.{self.source} downloads it: set data.init_args.root or ATELIER_DATA to the"
                f" folder that holds {self.folder}/, or data.init_args.download to true."
            )

    def _try_to_fetch(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                with suppress(OSError):  # a file system without locks
                    name = self.folder.replace("/", "-")
                    stack.enter_context(taken(self.root / f".{name}.lock", patience=inf))
                if self.absent:  # still, since another run may have been at it
                    self._fetch_aside()
        except (OSError, RuntimeError) as error:  # torchvision's errors list every mirror on lines of their own
            why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
            raise FileNotFoundError(
                f"{self.name} could not be downloaded{why}: put {self.layout} into {self.root / self.folder} by hand."
            ) from error

    def _fetch_aside(self) -> None:
        """Download to a folder aside and move what is absent into its place: whatever is there is whole."""
        home = (self.root / self.folder).resolve()  # maybe on another disk, where the files are to be moved within
        aside = home / ".download"
        shutil.rmtree(aside, ignore_errors=True)  # of a run that was killed
        aside.mkdir(parents=True)
        try:
            for archive in self.root.absolute().glob("*.tar.gz"):  # torchvision downloads none that is there
                (aside / archive.name).symlink_to(archive)
            self.fetch(aside)
            for file in [path for path in (aside / self.folder).rglob("*") if path.is_file()]:
                place = home / file.relative_to(aside / self.folder)
                if not place.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    file.replace(place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            with suppress(OSError):  # it holds what was there
                home.rmdir()


def read_checked(path: Path, md5: str) -> bytes:
    """The content of ``path``, whose MD5 hash must be ``md5``.

    Raises:
        ValueError: another hash.
    """
    content = path.read_bytes()
    require_md5(path, hashlib.md5(content, usedforsecurity=False).hexdigest(), md5)
    return content


def require_md5(path: Path, found: str, expected: str) -> None:
    """Raise ValueError where the MD5 hash ``found`` of ``path`` is not the published one."""
    if found != expected:
        raise ValueError(f"{path} has MD5 {found}, the published file {expected}: delete it and fetch it again.")
