"""Photos of TensorFlow Datasets, read without TensorFlow."""

from __future__ import annotations

from typing import Any, NamedTuple

from colorjax.data.sources.labels import NO_LABEL
from colorjax.data.sources.source import NumberedKeys, Photo, digest
from colorjax.errors import RequestError


class Range(NamedTuple):
    """Photos [start, stop) of a stored split."""

    split: str
    start: int
    stop: int


class TfdsSource:
    """A split of a TFDS data set prepared as array_record; does not need TensorFlow."""

    def __init__(self, name: str, split: str, data_dir: str = "", *, with_labels: bool = True):
        """Opens prepared data.

        Args:
            name: name in TFDS, e.g. "cifar10" or "imagenet_resized/64x64".
            split: a TFDS slice, e.g. "train[:200000]".
            data_dir: data folder of TFDS; empty: its default.
            with_labels: read the feature "label" if it exists.

        Raises:
            RequestError: unknown data set or split, or data that is not prepared.
        """
        self.stored_in = (name, data_dir)
        self._data, self.class_names, self.ranges, self._path = _open_tfds(name, split, data_dir)
        self._with_labels = with_labels and bool(self.class_names)
        if not self._with_labels:
            self.class_names = ()
        self.keys = NumberedKeys(len(self._data))

    def labels(self) -> None:
        """Returns None: TFDS stores labels in the records, so they are read with the photos."""
        return

    def fingerprint(self) -> str:
        """Returns a digest of the folder in TFDS (data_dir/name/version) and the slice."""
        return digest("tfds", self._path, *(field for part in self.ranges for field in part))

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Photo:
        example = self._data[index]
        label = int(example["label"]) if self._with_labels else NO_LABEL
        return Photo(bytes(example["image"]), label)


def _open_tfds(
    name: str, split: str, data_dir: str
) -> tuple[Any, tuple[str, ...], list[Range], str]:
    """Returns the photos, their class names, their ranges, and the folder of the version."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir or None)
    except tfds.core.DatasetNotFoundError:
        raise RequestError(
            f"TFDS has no data set {name!r}; docs/data.md lists common ones"
        ) from None
    except ValueError as error:
        raise RequestError(f"tfds:{name}: {str(error).splitlines()[0]}") from None
    prepare = (
        f"prepare it once where TensorFlow is installed (pip install 'colorjax[tf]'): "
        f"tfds build {name} --file_format=array_record --data_dir={builder._data_dir_root}"
    )
    if not builder.is_prepared():
        raise RequestError(f"tfds:{name} is not prepared in {str(builder.data_path)!r}; {prepare}")
    if "image" not in builder.info.features:
        raise RequestError(f"tfds:{name} has no feature 'image'; choose a data set of photos")
    try:
        data = builder.as_data_source(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    except NotImplementedError:
        raise RequestError(f"tfds:{name} is not stored as array_record; {prepare}") from None
    except (ValueError, KeyError) as error:
        known = ", ".join(builder.info.splits)
        raise RequestError(f"tfds:{name} has no split {split!r}; it has: {known}") from error
    features = builder.info.features
    names = tuple(features["label"].names) if "label" in features else ()
    return data, names, _ranges(split, builder.info.splits), str(builder.data_path)


def _ranges(split: str, splits: Any) -> list[Range]:
    """Resolves a slice such as train[:10%] to photos of the stored splits."""
    import tensorflow_datasets as tfds

    parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(splits)
    return [
        Range(p.splitname, p.from_ or 0, splits[p.splitname].num_examples if p.to is None else p.to)
        for p in parts
    ]


def overlap(one: TfdsSource, other: object) -> bool:
    """Returns whether two slices of the same stored data set share a photo."""
    if not isinstance(other, TfdsSource) or one.stored_in != other.stored_in:
        return False
    return any(
        a.split == b.split and max(a.start, b.start) < min(a.stop, b.stop)
        for a in one.ranges
        for b in other.ranges
    )
