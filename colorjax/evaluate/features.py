"""FID, LPIPS, VGG16 classes and the metrics of Lite0 of the rows of a suite, if asked for."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from colorjax.data.sources import imagenet_classes, labels
from colorjax.data.sources.labels import NO_LABEL
from colorjax.errors import RequestError
from colorjax.evaluate.feature_networks import FeatureNetworks
from colorjax.evaluate.parts import Record
from colorjax.evaluate.photos import Photos
from colorjax.metrics import FeatureMoments, in_top
from colorjax.runtime import paths

_FEATURES = {"features": 2048, "lite0": 320}  # array -> its columns


@dataclasses.dataclass(frozen=True)
class FeatureFiles:
    """The files of feature networks; an empty one disables its metric.

    Attributes:
        inception: of pytorch-fid or torchvision, for fid.
        inception_scale: see `FeatureNetworks.open`.
        lpips: (trunk, linear layers), for lpips.
        vgg16: of torchvision, for top1 and top5.
        classes: for vgg16: "folder" for the photos' folders, or a file of lines `PHOTO CLASS`.
        class_ids: if classes are WordNet ids: a folder or file with all 1000 of them.
        lite0: whether to measure lite_distance and frechet_lite0, by the extra `encoders`.
    """

    inception: str = ""
    inception_scale: str = ""
    lpips: tuple[str, str] | tuple[()] = ()
    vgg16: str = ""
    classes: str = ""
    class_ids: str = ""
    lite0: bool = False


class Features:
    """The open networks, and the class of each photo.

    Attributes:
        stamps: description of the networks for results.
        frechet: the Frechet distances that are computed: metric -> array of its features.
    """

    def __init__(self, files: FeatureFiles, photos: Photos, *, with_fid: bool):
        """Opens the files.

        Args:
            files: what the user gave.
            photos: of the suite.
            with_fid: whether the suite has an FID.

        Raises:
            RequestError: a file is not the expected one, or no photo has a class.
        """
        if files.inception and not with_fid:
            raise RequestError("this suite has no FID; omit --inception")
        if bool(files.vgg16) != bool(files.classes):
            raise RequestError("top1 needs both --vgg16 FILE and --classes FILE")
        lpips = (files.lpips[0], files.lpips[1]) if files.lpips else ""
        self._open = FeatureNetworks.open(
            files.inception,
            lpips,
            files.vgg16,
            inception_scale=files.inception_scale,
            lite0=files.lite0,
        )
        self.stamps: dict[str, Any] = dict(self._open.stamps)
        self.frechet: dict[str, str] = {}
        if self._open.features is not None:
            self.frechet["fid"] = "features"
        if self._open.lite0_features is not None and with_fid:
            self.frechet["frechet_lite0"] = "lite0"
        self._classes = np.full(len(photos.keys), NO_LABEL, np.int32)
        if files.vgg16:
            ids = imagenet_classes.wordnet_ids(files.class_ids) if files.class_ids else ()
            names = group_names(files.classes, photos)
            self._classes = imagenet_classes.class_numbers(names, ids)
            known = int((self._classes >= 0).sum())
            if not known:
                raise RequestError(f"--classes {files.classes!r} has no class of a photo")
            digest = hashlib.sha256(self._classes.tobytes()).hexdigest()
            self.stamps["vgg16"] |= {"photos_with_a_class": known, "classes": digest}

    def measure(
        self,
        records: Sequence[Record],
        pictures: Sequence[np.ndarray],
        truths: Sequence[np.ndarray],
        numbers: Sequence[int],
    ) -> dict[str, np.ndarray]:
        """Adds lpips, lite_distance, top1 and top5 to the records of photos.

        Args:
            records: of a part, one per picture.
            pictures: (H, W, 3) uint8 each.
            truths: the color photos.
            numbers: of the photos.

        Returns:
            The features of the Frechet distances, to be stored with the part: features (N, 2048)
            and lite0 (N, 320), float32.
        """
        for record, picture, truth, number in zip(records, pictures, truths, numbers, strict=True):
            if self._open.lpips is not None:
                record["lpips"] = float(self._open.lpips(picture[None], truth[None])[0])
            if self._open.lite0_distance is not None:
                distance = self._open.lite0_distance(picture[None], truth[None])
                record["lite_distance"] = float(distance[0])
            if self._open.classes is not None:
                logits, own = self._open.classes(picture[None]), self._classes[[number]]
                if own[0] >= 0:
                    record["top1"] = float(in_top(logits, own, 1)[0])
                    record["top5"] = float(in_top(logits, own, 5)[0])
        networks = {"features": self._open.features, "lite0": self._open.lite0_features}
        arrays = {}
        for name in self.frechet.values():
            network = networks[name]
            assert network is not None
            features = [network(picture[None])[0] for picture in pictures]
            arrays[name] = np.array(features, np.float32).reshape(-1, _FEATURES[name])
        return arrays


def group_names(groups: str, photos: Photos) -> list[str]:
    """Returns the group of each photo: its folder or class for "folder", else from a file.

    Raises:
        RequestError: the file cannot be read or is invalid, or no photo has a group.
    """
    if groups == "folder":
        names = list(photos.groups)
    elif not paths.locate(groups).is_file():
        raise RequestError(f"{groups!r} is no file; give one of lines `PHOTO GROUP`, or `folder`")
    else:
        try:
            names = labels.from_file(groups, photos.keys)
        except OSError as error:
            raise RequestError(f"{groups!r} cannot be read: {error.strerror}") from None
    if not any(names):
        raise RequestError(f"{groups!r} has no group of a photo; use lines `PHOTO GROUP`")
    return names


def moments(name: str, parts: Iterable[np.ndarray]) -> FeatureMoments:
    """Returns the moments of the features of one array of `Features.measure`, given in parts."""
    total = FeatureMoments.empty(_FEATURES[name])
    for part in parts:
        total = total + FeatureMoments.of(part)
    return total
