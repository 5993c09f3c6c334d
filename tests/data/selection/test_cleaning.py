import numpy as np
import pytest
from PIL import Image

from colorjax.data.selection import cleaning
from colorjax.data.sources.source import Photo


@pytest.fixture
def photo():
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC))


def bits(one, other):
    hashes = [cleaning.difference_hash(picture) for picture in (one, other)]
    return int(np.bitwise_count(hashes[0] ^ hashes[1]).sum())


def test_the_hash_is_that_of_brighter_neighbors(photo):
    small = np.asarray(
        Image.fromarray(photo).convert("L").resize((9, 8), Image.Resampling.BOX), int
    )
    wanted = [small[y, x + 1] > small[y, x] for y in range(8) for x in range(8)]
    bits = np.unpackbits(cleaning.difference_hash(photo)[:1].view(np.uint8))
    assert bits.astype(bool).tolist() == wanted


def test_a_copy_that_was_worked_on_is_near_and_another_photo_is_not(photo, tmp_path):
    Image.fromarray(photo).resize((200, 150)).save(tmp_path / "a.jpg", quality=40)
    compressed = np.asarray(Image.open(tmp_path / "a.jpg"))
    brighter = np.clip(photo.astype(int) * 0.8 + 20, 0, 255).astype(np.uint8)
    assert bits(photo, compressed) <= cleaning.MAX_BITS
    assert bits(photo, brighter) <= cleaning.MAX_BITS
    assert bits(photo, np.ascontiguousarray(photo[::-1])) > 30


def test_a_photo_can_be_shared_by_several_reasons_and_counts_once(photo):
    gray = np.repeat(photo[..., :1], 3, axis=-1)
    noisy = np.clip(photo.astype(int) + 1, 0, 255).astype(np.uint8)
    images = [gray, gray, photo, noisy, np.ascontiguousarray(photo[::-1])]

    class Images:
        keys = ("grey", "grey again", "first", "second", "third")

        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            return Photo(images[index], -1)

    seen = []
    cleaned = cleaning.clean(Images(), progress=seen.append)
    assert cleaned.kept.tolist() == [2, 4]
    assert cleaned.left_out["grey"] == ["grey", "grey again"]
    assert cleaned.left_out["near_copies"] == ["second (like first)"]
    assert sum(seen) == 5
    assert cleaning.clean(Images(), min_side=241).left_out["tiny"] == list(Images.keys)
    assert len(cleaning.clean(Images(), max_bits=-1).kept) == 3
