"""All protocols: photos, preparation, metrics.

The definitions are stamped into each result. Two results are comparable if their stamps are equal.
"""

from __future__ import annotations

import dataclasses
from importlib import resources
from typing import Any

from colorjax.errors import unknown_name
from colorjax.metrics.table import METRICS, OF_PICTURES, SKILL


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Definition of a benchmark.

    Attributes:
        name: of the suite.
        title: its name in the literature.
        data: "imagenet_val": the 50,000 validation photos of ILSVRC2012, by their names;
            "cifar10": its published files; "folder": any photos.
        photos: description of the photos.
        numbers: of imagenet_val: a file of numbers below lists/, or "FIRST-LAST"; of cifar10: a
            slice such as "test[:5000]"; of a folder empty: all, in the order of their names.
        preparation: description, including rounding.
        crop: whether the center square is cropped first.
        colorize_size: side of the colorized square in pixels; 0: each photo at its own size.
        size: side of the compared square in pixels; 0: as colorized.
        resampling: a key of `colorjax.data.resampling.RESAMPLINGS`.
        grey: the gray input, see `colorjax.color.gray_from_rgb`; 8 bits.
        aged: seed of the aging of the gray input, see `AGING`; 0: no aging.
        fid: reference of the Frechet inception distance: "truth", the true photos of the
            colorized ones; "others", the photos of `reference`; empty: not part of the protocol.
        reference: file of the numbers of those other photos.
        hint_counts: numbers of random color hints for which PSNR is also measured.
        hint_places: their positions: a key of `colorjax.data.hints.PLACES`; empty: no hints.
        shown: metrics in the tables in addition to those of all suites.
        reads: which published numbers are comparable, and which are not.
    """

    name: str
    title: str
    data: str
    photos: str
    preparation: str
    reads: str
    numbers: str = ""
    crop: bool = False
    colorize_size: int = 0
    size: int = 0
    resampling: str = "bicubic"
    grey: str = "lightness"
    aged: int = 0
    fid: str = ""
    reference: str = ""
    hint_counts: tuple[int, ...] = ()
    hint_places: str = ""
    shown: tuple[str, ...] = ()


_OF_DDCOLOR = ("colorfulness_abs", "delta_colorfulness_abs")
_ROUNDED = "rounded to 8 bits before and after colorization"
_OF_SAME_PHOTOS = (
    "FID of the colorized photos against the same 5,000 true ones; CT2 and DDColor use "
    "torchvision's Inception, whose FID is not that of pytorch-fid; delta colorfulness of DDColor "
    "is delta_colorfulness_abs"
)
_BY_OPENCV = (
    "resized to 256x256 px, ignoring the aspect ratio, with OpenCV's INTER_LINEAR without "
    "antialiasing, as DDColor's loader does (basicsr/data/lab_dataset.py; on float values, which "
    f"differ by at most 1 level), {_ROUNDED}"
)
_HINT_COUNTS = (0, 1, 2, 5, 10, 20, 50, 100)
_OF_ZHANG = (
    "Zhang et al. 2016: auc_8bit and auc_rebalanced_8bit (their prior is not ours), top1 of VGG16; "
    "Zhang et al. 2017: psnr with random hints, the mean color of 6x6 px, on 1,000 photos there; "
    "here at"
)
_HINTS_PAINTED = (
    "a hint is painted as a user's is, 5x5 px at a working size of 256, 3x3 at 64; networks "
    "without an input for hints spread them by their features (hints: spread), which no paper does"
)
PROTOCOLS = {
    each.name: each
    for each in (
        Protocol(
            name="val5k",
            title="ImageNet val5k, prepared as the papers describe (CT2, DDColor)",
            data="imagenet_val",
            photos="ILSVRC2012_val_00000001 to 00005000",
            numbers="1-5000",
            preparation="center square, resized to 256x256 px (bicubic with antialiasing; the "
            f"papers name no filter, and the code of each uses another one), {_ROUNDED}",
            crop=True,
            colorize_size=256,
            fid="truth",
            shown=_OF_DDCOLOR,
            reads=f"{_OF_SAME_PHOTOS}; for their own preparation: val5k-ddcolor, val5k-ct2 and "
            "val5k-ct2-loader",
        ),
        Protocol(
            name="val5k-ddcolor",
            title="ImageNet val5k, prepared by DDColor's loader",
            data="imagenet_val",
            photos="ILSVRC2012_val_00000001 to 00005000",
            numbers="1-5000",
            preparation=_BY_OPENCV,
            colorize_size=256,
            resampling="opencv",
            fid="truth",
            shown=_OF_DDCOLOR,
            reads=_OF_SAME_PHOTOS,
        ),
        Protocol(
            name="val5k-ct2",
            title="ImageNet val5k, prepared with the filter of CT2's script",
            data="imagenet_val",
            photos="ILSVRC2012_val_00000001 to 00005000",
            numbers="1-5000",
            preparation="center square, resized to 256x256 px with scikit-image's bilinear filter "
            "with antialiasing and truncated to 8 bits, as CT2's segm/make_q_actual.py (which does "
            "not crop), rounded to 8 bits after colorization",
            crop=True,
            colorize_size=256,
            resampling="skimage",
            fid="truth",
            shown=_OF_DDCOLOR,
            reads=_OF_SAME_PHOTOS,
        ),
        Protocol(
            name="val5k-ct2-loader",
            title="ImageNet val5k, prepared by the loader of CT2's test",
            data="imagenet_val",
            photos="ILSVRC2012_val_00000001 to 00005000",
            numbers="1-5000",
            preparation="center square, resized to 256x256 px with Pillow's bilinear filter with "
            f"antialiasing, as CT2's segm/data/coco.py by torchvision, {_ROUNDED}",
            crop=True,
            colorize_size=256,
            resampling="bilinear",
            fid="truth",
            shown=_OF_DDCOLOR,
            reads=_OF_SAME_PHOTOS,
        ),
        Protocol(
            name="val50k",
            title="ImageNet val50k (ColorFormer, BigColor, DDColor)",
            data="imagenet_val",
            photos="ILSVRC2012_val_00000001 to 00050000",
            numbers="1-50000",
            preparation="resized to 256x256 px, ignoring the aspect ratio (bicubic with "
            f"antialiasing; the papers name no filter), {_ROUNDED}",
            colorize_size=256,
            fid="truth",
            shown=_OF_DDCOLOR,
            reads="as val5k; FID falls with the number of photos and differs from that of crops; "
            "for DDColor's own preparation: val50k-ddcolor",
        ),
        Protocol(
            name="val50k-ddcolor",
            title="ImageNet val50k, prepared by DDColor's loader",
            data="imagenet_val",
            photos="ILSVRC2012_val_00000001 to 00050000",
            numbers="1-50000",
            preparation=_BY_OPENCV,
            colorize_size=256,
            resampling="opencv",
            fid="truth",
            shown=_OF_DDCOLOR,
            reads="as val5k-ddcolor; FID falls with the number of photos",
        ),
        Protocol(
            name="coltran-5k",
            title="FID-5K of ColTran",
            data="imagenet_val",
            photos="the first 5,000 of TFDS's interleaved validation photos, by the list of "
            "big_vision; these are not validation[:5000]",
            numbers="coltran_5k.txt",
            preparation="center square, area-resized to 512x512 px and rounded to 8 bits, "
            "colorized there from luma, area-resized to 256x256 px, rounded to 8 bits",
            crop=True,
            colorize_size=512,
            size=256,
            resampling="area",
            grey="luma",
            fid="others",
            reference="coltran_5k_reference.txt",
            reads="the reference of FID is 5,000 other photos (true colors of the same photos "
            "score about 14.7); published values are of TF-GAN's Inception, whose weights "
            "pytorch-fid's file holds, on x / 128 - 1; ours is on x / 127.5 - 1",
        ),
        Protocol(
            name="ctest10k",
            title="ctest10k (Larsson et al., Zhang et al.)",
            data="imagenet_val",
            photos="10,000 photos of the validation set, by the list of colorization-pytorch",
            numbers="ctest10k.txt",
            preparation="resized to 256x256 px, ignoring the aspect ratio, as in the released "
            f"PyTorch demo (bicubic with antialiasing), {_ROUNDED}",
            colorize_size=256,
            hint_counts=_HINT_COUNTS,
            hint_places="uniform",
            shown=("rmse_ab_8bit",),
            reads=f"{_OF_ZHANG} uniformly random positions; the curve of the released code has "
            f"positions around the middle: ctest10k-gaussian; {_HINTS_PAINTED}",
        ),
        Protocol(
            name="ctest10k-gaussian",
            title="ctest10k with hints around the middle (Zhang et al. 2017)",
            data="imagenet_val",
            photos="10,000 photos of the validation set, by the list of colorization-pytorch",
            numbers="ctest10k.txt",
            preparation="resized to 256x256 px, ignoring the aspect ratio, as in the released "
            f"PyTorch demo (bicubic with antialiasing), {_ROUNDED}",
            colorize_size=256,
            hint_counts=_HINT_COUNTS,
            hint_places="gaussian",
            shown=("rmse_ab_8bit",),
            reads=f"{_OF_ZHANG} normally distributed positions around the middle with a standard "
            "deviation of a quarter of the side, clipped, the default of the released test code "
            "(util/util.py, whose test_sweep.py resizes bilinearly and fills squares of 6x6 px); "
            f"{_HINTS_PAINTED}",
        ),
        Protocol(
            name="cifar10-kth",
            title="CIFAR-10 as in the KTH DD2424 report",
            data="cifar10",
            photos="the first 5,000 test photos, including gray ones",
            numbers="test[:5000]",
            preparation="32x32 px, unchanged",
            colorize_size=32,
            shown=("mae_ab_127", "accuracy_2", "accuracy_5"),
            reads="mae_ab_127 with the report's test column (U-Net 0.0677, DCGAN 0.0675, VAC+GAN "
            "0.0668), which is of the network's ab before it is mapped into sRGB; per_lightness "
            "scores about 0.070",
        ),
        Protocol(
            name="cifar10-exact",
            title="CIFAR-10, all test photos, exact pixels",
            data="cifar10",
            photos="all 10,000 test photos of the published files",
            numbers="test",
            preparation="32x32 px, unchanged",
            colorize_size=32,
            shown=("mae_ab_127", "accuracy_2", "accuracy_5"),
            reads="copies of CIFAR-10 as JPEG files have other colors: not comparable",
        ),
        Protocol(
            name="folder",
            title="the user's own photos",
            data="folder",
            photos="all photos of a folder, in the order of their names",
            preparation="unchanged; with --size the center square, resized (bicubic with "
            "antialiasing) and rounded to 8 bits",
            fid="truth",
            reads="results with the same digest of the photos",
        ),
        Protocol(
            name="bsds-aged",
            title="photos whose gray input looks like an old photograph",
            data="folder",
            photos="all photos of a folder, in the order of their names; meant for the 200 test "
            "photos of BSDS500",
            preparation="unchanged; with --size the center square, resized (bicubic with "
            "antialiasing) and rounded to 8 bits",
            aged=1,
            fid="truth",
            reads="results with the same digest of the photos and of the aged inputs; the suite "
            "folder on the same photos and size shows the cost of aging",
        ),
    )
}

ROWS = {
    "grey": "no color",
    "mean": "the mean ab of other photos, see the stamp of the tables",
    "per_lightness": "the mean ab of other photos for each level of L",
    "oracle_mean": "knows the true mean ab of the photo",
    "oracle_bins": "knows the true ab of every pixel, rounded to the nearest of the 313 bins",
}
PAINTING = (
    "every row paints ab on the gray photo's own L, in 8-bit sRGB; colors outside sRGB lose "
    "chroma at their L"
)

AGING = (
    "the input is colorjax.data.aging.age of the prepared photo, drawn from the seed `aged` "
    "and the SHA-256 of the photo's name"
)
AGED_PAINTING = (
    "every row paints ab on the L of the aged photo, in 8-bit sRGB; ab of that picture is then "
    "painted on the true photo's L, so that every metric measures only color; colors outside sRGB "
    "lose chroma at either L"
)


def find(name: str) -> Protocol:
    """Returns a protocol by name.

    Raises:
        RequestError: the name is unknown.
    """
    if name not in PROTOCOLS:
        raise unknown_name("suite", name, PROTOCOLS)
    return PROTOCOLS[name]


def numbers(text: str) -> list[int]:
    """Returns the photo numbers of imagenet_val: a range, or a file in lists/."""
    if not text.endswith(".txt"):
        first, last = map(int, text.split("-"))
        return list(range(first, last + 1))
    content = resources.files("colorjax.evaluate").joinpath("lists", text).read_text()
    return [int(line) for line in content.splitlines() if not line.startswith("#")]


def stamp(protocol: Protocol) -> dict[str, Any]:
    """Returns the definition of a protocol, for a result."""
    fields: dict[str, Any] = {
        k: v for k, v in dataclasses.asdict(protocol).items() if v not in ("", 0, False, ())
    }
    if protocol.aged:
        fields["aging"] = AGING
    metrics = {name: METRICS[name].definition for name in OF_PICTURES}
    painting = AGED_PAINTING if protocol.aged else PAINTING
    return fields | {
        "painting": painting,
        "metrics": metrics,
        "rows": ROWS,
        "skill": SKILL.definition,
    }
