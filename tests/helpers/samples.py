"""Real photos that are at hand in every clone: those that ship inside scikit-image."""

from colorjax.data.sources.source import SamplePhotos, read_sample

NAMES = sorted(name for names in SamplePhotos.PHOTOS.values() for name in names)


def sample_photos():
    """Yields (H, W, 3) uint8, 300 to 1000 pixels high and wide."""
    for name in NAMES:
        yield read_sample(name)
