"""A session survives kill -9 at any moment: at most the last stroke is lost."""

import json
import random
import signal
import threading
import time

import numpy as np
import pytest
from helpers.page_program import program
from PIL import Image

from colorjax.cli import main as cli
from colorjax.inference.colorizer import Colorizer

NUM_STROKES, NUM_KILLS = 100, 50


def strokes():
    """A scripted session of hints, lassos and erasures, always the same."""
    rng, result = random.Random(0), []
    for number in range(NUM_STROKES):
        x, y = rng.randrange(64), rng.randrange(48)
        code = f"#{rng.randrange(2**24):06x}"
        if number % 5 == 4:
            region = {"brush": [[x, y], [x + 9, y + 4]], "width": 3}
            result.append({"kind": "erase", "region": region})
            continue
        corners = [[x - 4, y - 4], [x + 4, y - 4], [x + 4, y + 4], [x - 4, y + 4]]
        region = {"polygon": corners} if number % 3 == 0 else None
        result.append({"kind": "hint", "x": x, "y": y, "color": code, "region": region})
    return result


def stored(album):
    """Returns the strokes of the journal, as a restarted program reads them."""
    path = album / "a.color.png.json"
    return json.loads(path.read_text())["strokes"] if path.exists() else []


@pytest.mark.slow
def test_fifty_kills_lose_at_most_one_stroke_each(
    album, semantic_workdir, tmp_path, monkeypatch, capsys
):
    script, rng = strokes(), random.Random(1)
    moments = sorted(rng.sample(range(1, NUM_STROKES), NUM_KILLS))
    done, lost, kills = 0, 0, 0
    while done < NUM_STROKES:
        with program(tmp_path, album, "--checkpoint", semantic_workdir) as (process, page):
            id = page.id("a.png")
            state = page.json("GET", f"/api/photos/{id}/session")["state"]
            kept = state["strokes"] if state else []
            assert kept == script[: len(kept)]
            assert done - len(kept) <= 1
            lost += done - len(kept)
            done = len(kept)
            goal = moments[kills] if kills < NUM_KILLS else NUM_STROKES
            while done < max(goal, 1) and done < NUM_STROKES:
                if kills < NUM_KILLS and done + 1 >= goal:
                    delay = rng.uniform(0, 0.03)  # somewhere in the request, or just after it
                    killer = threading.Timer(delay, process.send_signal, (signal.SIGKILL,))
                    killer.start()
                body = {"state": {"strokes": script[: done + 1]}, "seq": done, "client": "me"}
                try:
                    page.json("PUT", f"/api/photos/{id}/session", body)
                    done += 1
                except (OSError, json.JSONDecodeError):
                    break  # killed before the answer: this stroke may be lost
            if kills < NUM_KILLS:
                time.sleep(0.05)
                process.kill()
                process.wait(20)
                kills += 1
        assert stored(album) in (script[:done], script[: done + 1])
        done = max(done, len(stored(album)))
        assert not list(album.glob("*.old"))
    print(f"{kills} kills, {lost} strokes lost of answered ones")
    assert kills == NUM_KILLS
    assert lost == 0  # answered strokes are on disk
    colorizer = Colorizer.load(semantic_workdir)
    monkeypatch.setattr(Colorizer, "load", lambda path, **_: colorizer)
    images = []
    for hints in (album / "a.color.png.json", tmp_path / "never killed.json"):
        whole = json.loads((album / "a.color.png.json").read_text()) | {"strokes": script}
        (tmp_path / "never killed.json").write_text(json.dumps(whole))
        result = tmp_path / f"{len(images)}.png"
        args = ["colorize", str(album / "a.png"), "--hints", str(hints), "--output", str(result)]
        assert cli.run(args) == 0
        images.append(np.asarray(Image.open(result)))
    np.testing.assert_array_equal(images[0], images[1])
