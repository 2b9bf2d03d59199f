"""Images that go with pictures, such as masks: one for all of them, or a folder of one each, of the picture's name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from datamodules.open_image import BadImageError
from experiments.errors import UserError
from experiments.lightning_cli import users_mistakes
from experiments.restore_pictures import Picture, Pictures, find_pictures

Join = Callable[[Picture, Picture], Picture]


@dataclass(frozen=True)
class Accompanied(Pictures):
    """Pictures with a companion each.

    Args:
        word: what one is called.
        others: the companions.
        other_of: the number in them of each picture's, by the picture's number.
        join: the picture and its companion in one; ValueError where they do not go together, BadImageError where the
            picture itself will not do.
    """

    word: str = ""
    others: Pictures | None = None
    other_of: Mapping[int, int] = field(default_factory=dict)
    join: Join = lambda picture, _: picture

    def read(self, number: int) -> Picture:
        """The picture of a file, joined with its companion.

        Raises:
            BadImageError: one of them gives none, or they do not go together, and why.
        """
        assert self.others is not None
        picture, other = super().read(number), self.other_of[number]
        try:
            companion = self.others.read(other)
        except BadImageError as error:
            raise BadImageError(f"its {self.word} {self.others.name(other)}: {error}") from error
        try:
            return self.join(picture, companion)
        except BadImageError:
            raise  # of the picture itself
        except ValueError as error:
            raise BadImageError(f"its {self.word} {self.others.name(other)}: {error}") from error


@dataclass(frozen=True)
class Companions:
    """A kind of them.

    Args:
        word: what one is called.
        advice: what to do without.
    """

    word: str
    advice: str

    def beside(self, pictures: Pictures, place: str, out: Path, join: Join) -> "Accompanied":
        """``pictures``, each to be joined with its own at ``place``: an image for all, or a folder or .zip archive.

        Raises:
            UserError: there is nothing, or a picture has none there, or two.
        """
        found, numbers = self.of(pictures, place, out)
        return Accompanied(**vars(pictures), word=self.word, others=found, other_of=numbers, join=join)

    def of(self, pictures: Pictures, place: str, out: Path) -> tuple[Pictures, dict[int, int]]:
        """Those at ``place``, and by each picture's number its own."""
        if not Path(place).exists():
            raise UserError(f"there is no {self.word} at {place}: {self.advice}")
        with users_mistakes():
            found = find_pictures(place, out)
        if Path(place).is_file() and Path(place).suffix.lower() != ".zip":
            return found, dict.fromkeys(pictures.numbers, found.numbers[0])
        by_stem = self.stems(found, place)
        self.require(pictures, by_stem, place)
        return found, {number: by_stem[stem(pictures.name(number))] for number in pictures.numbers}

    def stems(self, found: Pictures, place: str) -> dict[str, int]:
        """The numbers of ``found`` by their stems.

        Raises:
            UserError: two have one stem.
        """
        numbers: dict[str, int] = {}
        for number in found.numbers:
            other = numbers.setdefault(stem(found.name(number)), number)
            if other != number:
                names = f"{found.name(other)} and {found.name(number)}"
                raise UserError(f"{names} in {place} are each the {self.word} of one image: leave one")
        return numbers

    def require(self, pictures: Pictures, by_stem: Mapping[str, int], place: str) -> None:
        """Raise UserError where one of ``pictures`` has none."""
        without = [name for name in map(pictures.name, pictures.numbers) if stem(name) not in by_stem]
        if without:
            more = f", nor for {len(without) - 1:,} more" if len(without) > 1 else ""
            raise UserError(
                f"{place} holds no {self.word} {stem(without[0])}.png for {without[0]}{more}: give one for each image,"
                f" or a single {self.word} for all"
            )


def stem(name: str) -> str:
    """``name`` below its place, without its suffix."""
    return str(PurePosixPath(name).with_suffix(""))
