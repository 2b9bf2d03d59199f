"""Where the published weights of a network are found: one search for all of them.

In this order: an explicit path; ``ATELIER_WEIGHTS`` (the file, or its folder); torch's hub cache; a download. All but
the explicit path must have the published hash, and nothing is ever taken in the place of what is absent.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class PublishedWeights:
    """A weights file that its authors published.

    Args:
        title: of the network, as in "AlexNet".
        file: its name.
        url: where it can be downloaded.
        sha256: first digits of its hash.
        setting: by which a user names another file, as in "--weights".
    """

    title: str
    file: str
    url: str
    sha256: str
    setting: str

    def find(self, explicit: str | None = None) -> Path:
        """Find the file, or fetch it to torch's hub cache.

        Raises:
            FileNotFoundError: if it is nowhere and cannot be downloaded.
            ValueError: if a file that was not named explicitly has another hash.
        """
        if explicit is not None:
            if not Path(explicit).is_file():
                raise FileNotFoundError(f"The {self.title} weights {explicit} ({self.setting}) are no file.")
            return Path(explicit)
        cached = Path(torch.hub.get_dir()) / "checkpoints" / self.file
        for path in (*self._from_environment(), cached):
            if path.is_file():
                return self._checked(path)
        return self._download(cached)

    def _from_environment(self) -> list[Path]:
        place = os.environ.get("ATELIER_WEIGHTS")
        if not place:
            return []
        path = Path(place)
        # A file may be that of another network: it counts by its name, or where it was renamed by its hash.
        ours = path.is_file() and (path.name == self.file or self._has_hash(path))
        return [path] if ours else [path / self.file]

    def _has_hash(self, path: Path) -> bool:
        return sha256_of(path).startswith(self.sha256)

    def _checked(self, path: Path) -> Path:
        if not self._has_hash(path):
            raise ValueError(
                f"{path} does not have the sha256 {self.sha256}...: delete it, or name it in {self.setting} if you "
                "mean it."
            )
        return path

    def _download(self, path: Path) -> Path:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(self.url, str(path), hash_prefix=self.sha256)
        except (OSError, RuntimeError) as error:  # no network; a wrong hash
            raise FileNotFoundError(
                f"The {self.title} weights {self.file} are absent and the download failed ({error}): fetch {self.url} "
                f"and put it into {path.parent} or the folder ATELIER_WEIGHTS, or name it in {self.setting}."
            ) from error
        return path


def sha256_of(path: Path) -> str:
    """The file's sha256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
