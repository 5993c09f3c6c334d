import os
import time
from pathlib import Path

import pytest
from PIL import Image

from colorjax.errors import RequestError
from colorjax.inference.batch.other_files import passed_over
from colorjax.inference.batch.plan import plan
from colorjax.runtime import atomic
from colorjax.runtime.atomic import remove_partials
from colorjax.runtime.file_names import canonical, printable

NOBODY = 2**22 + 1  # above the highest process id of Linux


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "album"


def photo(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (6, 4)).save(path, **options)
    return path


def planned(*args, output=None, **options):
    """Returns input -> output, relative to the working directory."""
    jobs = plan(args, output, **options).jobs
    return {os.path.relpath(job.source): job.output and os.path.relpath(job.output) for job in jobs}


def refusal(*args, output=None, **options):
    with pytest.raises(RequestError) as error:
        plan(args, output, **options)
    return str(error.value)


def test_folders_keep_their_tree(album):
    for name in ("b.png", "a.jpg", "old/c.jpg"):
        photo(album / name)
    (album / "note.txt").write_text("no photo")
    (album / ".hidden.jpg").write_bytes(b"")
    assert list(planned("album", output="out").items()) == [
        ("album/a.jpg", "out/a.jpg"),
        ("album/b.png", "out/b.png"),
        ("album/old/c.jpg", "out/old/c.jpg"),
    ]
    assert planned("album")["album/old/c.jpg"] == "album/old/c.color.jpg"


def test_hidden_folders_and_thumbnails_are_not_searched(album):
    unsearched = (".Trash-1000", ".stversions", ".rsync-partial", "@eaDir")
    for name in unsearched:
        photo(album / "old" / name / "deep" / "b.jpg")
        photo(album / name / "b.jpg")
    photo(album / "old" / "a.jpg")
    for argument in ("album", "album/*", "album/**/*.jpg"):
        assert list(planned(argument, output="out")) == ["album/old/a.jpg"]
    assert "matches no photo" in refusal("album/*/b.jpg")
    for name in unsearched:  # given by name
        assert list(planned(f"album/{name}")) == [f"album/{name}/b.jpg"]
        assert list(planned(f"alb*/{name}")) == [f"album/{name}/b.jpg"]
        assert list(planned(f"album/old/{name}/*/*.jpg")) == [f"album/old/{name}/deep/b.jpg"]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("album/*.jpg", {"album/a.jpg": "out/a.jpg"}),
        ("album/*/*.jpg", {"album/old/a.jpg": "out/old/a.jpg"}),
        ("a*/[ab].jpg", {"album/a.jpg": "out/album/a.jpg"}),
        ("album/**/a.*", {"album/a.jpg": "out/a.jpg", "album/old/a.jpg": "out/old/a.jpg"}),
        ("album/**", {"album/a.jpg": "out/a.jpg", "album/old/a.jpg": "out/old/a.jpg"}),
        ("album/o*", {"album/old/a.jpg": "out/old/a.jpg"}),
    ],
)
def test_patterns_that_no_shell_expanded(album, pattern, wanted):
    photo(album / "a.jpg")
    photo(album / "old" / "a.jpg")
    (album / "a.txt").write_text("no photo")
    assert planned(pattern, output="out") == wanted


def test_a_file_named_like_a_pattern_is_the_file(album):
    photo(album / "a[1].jpg")
    photo(album / "a1.jpg")
    assert planned("album/a[1].jpg") == {"album/a[1].jpg": "album/a[1].color.jpg"}
    assert "matches no photo" in refusal("album/x*.jpg")


@pytest.mark.parametrize("arg", ["album", "album/**/*.jpg"])
def test_links_in_circles_end(album, arg):
    photo(album / "old" / "a.jpg")
    for name in ("up", "again"):
        (album / "old" / name).symlink_to(album, target_is_directory=True)
    assert planned(arg, output="out") == {"album/old/a.jpg": "out/old/a.jpg"}


@pytest.mark.parametrize("arg", ["album", "album/**/*.jpg", "album/*/*.jpg"])
def test_earlier_results_are_no_inputs(album, arg):
    photo(album / "old" / "a.jpg")
    photo(album / "old" / "a.color.jpg")
    photo(album / "old" / "sheet.jpg")
    photo(album / "out" / "old.jpg")
    wanted = {
        "album/old/a.color.jpg": "album/out/old/a.color.jpg",
        "album/old/a.jpg": "album/out/old/a.jpg",
    }
    assert planned(arg, output="album/out", sheets=[Path("album/old/sheet.jpg")]) == wanted
    (album / "out" / "old.jpg").unlink()
    result = planned(arg, sheets=[Path("album/old/sheet.jpg")])
    assert result == {"album/old/a.jpg": "album/old/a.color.jpg"}


def test_results_above_their_photos(album):
    photo(album / "old" / "a.jpg")
    assert planned("album/old", output="album") == {"album/old/a.jpg": "album/a.jpg"}


def test_the_content_decides_the_format(album):
    photo(album / "a.gif")
    photo(album / "b.jpg", format="PNG")
    photo(album / "c.TIFF")
    photo(album / "d", format="WEBP")
    Image.new("1", (6, 4)).save(album / "e.tif")
    names = [album / name for name in ("a.gif", "b.jpg", "c.TIFF", "d", "e.tif")]
    outputs = [job.output.name for job in plan(names, "out").jobs]
    assert outputs == ["a.png", "b.png", "c.TIFF", "d.webp", "e.png"]


def test_the_second_of_two_photos_with_one_result_is_numbered(album):
    photo(album / "s.gif")
    photo(album / "s.png")
    assert planned("album") == {
        "album/s.gif": "album/s-2.color.png",
        "album/s.png": "album/s.color.png",
    }
    photo(album / "s-2.png")
    photo(album / "anna.JPG")
    photo(album / "Anna.jpg")
    photo(album / "old" / "s.gif")
    jobs = plan(["album"], "out").jobs
    assert [(job.source.name, job.output.as_posix()) for job in jobs] == [
        ("Anna.jpg", "out/Anna.jpg"),
        ("anna.JPG", "out/anna-2.JPG"),
        ("s.gif", "out/old/s.png"),
        ("s-2.png", "out/s-2.png"),
        ("s.gif", "out/s-3.png"),
        ("s.png", "out/s.png"),
    ]
    notes = [job.note for job in jobs if job.note]
    assert notes == [
        "Anna.jpg has a result of this name: written as anna-2.JPG",
        "s.png has a result of this name: written as s-3.png",
    ]
    # The order of the command line does not matter.
    names = sorted(album.glob("s*"), reverse=True)
    by_name = {job.source.name: job.output.name for job in plan(names, "out").jobs}
    assert by_name == {"s.gif": "s-3.png", "s-2.png": "s-2.png", "s.png": "s.png"}


def test_photos_of_two_folders_do_not_become_one(album):
    photo(album / "a.png")
    photo(album / "old" / "a.png")
    assert "would both become" in refusal("album/a.png", "album/old/a.png", output="out")
    assert len(plan(["album", album / "a.png", "album/../album/a.png"], None).jobs) == 2


def test_an_output_with_the_suffix_of_a_photo_is_a_file(album):
    photo(album / "a.png")
    assert planned("album/a.png", output="out/b.jpg") == {"album/a.png": "out/b.jpg"}
    assert planned("album/*.png", output="b.TIF") == {"album/a.png": "b.TIF"}
    assert planned("album/a.png", output="out/v1.2") == {"album/a.png": "out/v1.2/a.png"}
    assert planned("album/a.png", output="out.jpg/") == {"album/a.png": "out.jpg/a.png"}
    (album.parent / "is.jpg").mkdir()
    assert planned("album/a.png", output="is.jpg") == {"album/a.png": "is.jpg/a.png"}
    assert "would be replaced" in refusal("album/a.png", output="album/a.png")
    assert "names one picture, but a folder is given" in refusal("album", output="b.jpg")
    photo(album / "c.png")
    for arguments in (["album/a.png", "album/c.png"], ["album/*.png"]):
        message = refusal(*arguments, output="b.jpg")
        assert "names one picture, but 2 photos are given" in message
        assert "--output 'b'" in message
    assert "cannot be written as '.gif'; use one of" in refusal("album/a.png", output="b.gif")
    assert "cannot be written as '.mp4'" in refusal("album/a.png", output="b.mp4")


def test_films_and_other_files_are_counted(album):
    photo(album / "a.png")
    for name in ("b.MP4", "old/c.asf", "d.psd", "e.cr2", "f.dng", "g.pdf", "h.jxl", "notes.txt"):
        (album / name).parent.mkdir(exist_ok=True)
        (album / name).write_bytes(b"")
    (album / "._i.mp4").write_bytes(b"")
    (album / "b.color.mp4").write_bytes(b"")  # an earlier result
    counts, lines = passed_over(plan(["album"], None).others, None, takes_films=True)
    assert counts == {
        "PDF file": 1,
        "Photoshop file": 1,
        "film": 2,
        "picture file of another format": 1,
        "raw camera file": 2,
    }
    assert lines[0].endswith("1 picture file of another format, 2 raw camera files")
    assert lines[1].endswith("colorjax colorize album/b.MP4 album/old/c.asf")
    assert plan(["album/*.png"], None).others == []
    (album / "a.png").unlink()
    for arguments, number in ((["album"], "3 films"), (["album/*.MP4"], "1 film")):
        message = refusal(*arguments)
        assert "no photo" in message
        assert number in message
        assert "colorjax colorize album/b.MP4" in message


def test_many_films_are_not_all_named():
    films = [Path(f"my film {n}.mp4") for n in range(9)]
    _, lines = passed_over(films, "out", takes_films=True)
    assert lines[1].endswith("'my film 4.mp4' --output out (and 4 more)")
    assert passed_over(films, "out", takes_films=False)[1] == ["not processed: 9 films"]


@pytest.mark.parametrize(
    ("name", "start", "says"),
    [
        ("a.jpg", b"\0\0\0\x20ftypisom", "is a film"),
        ("a.dat", b"\x1aE\xdf\xa3", "is a film"),
        ("a", b"0&\xb2u\x8ef\xcf\x11", "is a film"),
        ("a", b"RIFF\0\0\0\0AVI LIST", "is a film"),
        ("a", b"G" + bytes(187) + b"G", "is a film"),
        ("a.mp4", b"", "is a film"),
        ("a", b"%PDF-1.7", "is a PDF file, not a photo: export its pages"),
        ("a.jpg", b"8BPS\0\1", "is a Photoshop file, not a photo: export it"),
        ("a.cr3", b"\0\0\0\x18ftypcrx ", "is a raw camera file"),
        ("a", b"\0\0\0\x18ftypcrx ", "is a raw camera file"),
        ("a.nef", b"MM\0*", "is a raw camera file"),
        ("a.svg", b"<svg", "is a picture file of another format"),
        ("a.jpg", b"nothing known", ""),
        ("a.tif", b"MM\0*", ""),
    ],
)
def test_a_file_that_is_not_a_photo_says_what_it_is(album, name, start, says):
    album.mkdir()
    (album / name).write_bytes(start)
    (job,) = plan([album / name], None).jobs
    assert job.refusal.startswith(says)
    assert bool(job.refusal) == bool(says)
    (piped,) = plan(["-"], None, standard_input=album / name, takes_films=True).jobs
    if says == "is a film":
        assert "this command takes photos only" in job.refusal
        assert "colorjax colorize FILM.mp4" in piped.refusal


def test_a_photo_with_the_name_of_another_kind_is_a_photo(album):
    path = photo(album / "a", format="PNG").rename(album / "a.psd")
    (job,) = plan([path], None).jobs
    assert (job.refusal, job.output.name) == ("", "a.color.png")


@pytest.mark.parametrize("output", ["album", "ALBUM"])
def test_no_photo_is_replaced(album, output):
    photo(album / "a.png")
    if output == "ALBUM":
        (album.parent / "ALBUM").symlink_to(album)
    assert "is an input and would be replaced" in refusal("album", output=output)
    for sheet in ("album/a.png", "out/A.png"):
        result = refusal("album/a.png", output="out", sheets=[Path(sheet)])
        assert "is a photo of this run" in result


def test_what_means_nothing_is_refused(album):
    photo(album / "a.png")
    assert "is empty" in refusal("")
    assert "does not exist" in refusal("album/none.png")
    assert "does not exist" in refusal("album", "none")
    (album.parent / "loop").symlink_to("loop")
    assert "does not exist" in refusal("loop")
    os.mkfifo(album / "pipe")
    assert "neither a file nor a folder" in refusal("album/pipe")


def test_a_pipe_in_a_folder_is_not_waited_for(album):
    photo(album / "a.png")
    os.mkfifo(album / "pipe.png")
    assert [job.refusal for job in plan(["album"], None).jobs] == ["", "is not a regular file"]


def test_folders_that_cannot_be_listed_are_reported(album, monkeypatch):
    photo(album / "a.png")
    photo(album / "locked" / "b.png")
    scandir = os.scandir

    def locked(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    result = {job.name: job.refusal for job in plan(["album"], "out").jobs}
    assert result == {"album/a.png": "", "album/locked": "Permission denied"}


def test_large_photos_are_refused_by_their_header(album):
    photo(album / "a.png")
    assert [job.refusal for job in plan(["album"], None, max_pixels=24).jobs] == [""]
    (job,) = plan(["album"], None, max_pixels=23).jobs
    assert job.refusal == "6x4 px are more than --max-pixels 23 allows"


def test_a_name_that_is_too_long_is_not_there(album):
    photo(album / f"{'a' * 248}.png")
    (job,) = plan(["album"], None).jobs
    assert not job.is_done


def test_standard_input(album, tmp_path):
    (job,) = plan(["-"], None).jobs
    assert (job.name, str(job.output), job.file) == ("-", "-", None)
    spooled = photo(tmp_path / "spooled", format="PNG")
    (job,) = plan(["-"], "out", standard_input=spooled).jobs
    assert (job.name, job.source, str(job.output)) == ("-", spooled, "out/stdin.png")
    photo(tmp_path / "-", format="PNG")
    assert planned("./-") == {"-": "-.color.png"}


def test_names_are_shown_in_one_line():
    assert printable("a\nb\x1b[1m") == r"a\nb\x1b[1m"
    assert printable(os.fsdecode(b"caf\xe9")) == r"caf\xe9"
    assert printable("Grüße 日本.jpg") == "Grüße 日本.jpg"
    assert printable("\ud800") == r"\ud800"


def test_spellings_of_one_name_are_one_path(tmp_path):
    assert canonical(tmp_path / "\u00c9.jpg") == canonical(tmp_path / "e\u0301.JPG")
    assert canonical(tmp_path / "a.jpg") != canonical(tmp_path / "b.jpg")


def test_partial_files_of_the_dead_are_removed(tmp_path):
    here = atomic.machine()
    names = [f".colorjax-{n}-ab12.partial" for n in (NOBODY, os.getpid(), os.getppid(), 10**30)]
    names.append(f".colorjax-{here}-{NOBODY}-ab12.partial")
    others = [".colorjax-ab12.partial", f"colorjax-{NOBODY}-a.partial", f".colorjax-{NOBODY}-a.jpg"]
    for name in names + others:
        (tmp_path / name).write_bytes(b"half")
    assert remove_partials([tmp_path, tmp_path / "none"]) == 4
    assert {path.name for path in tmp_path.iterdir()} == {names[2], *others}


def test_partial_files_of_other_machines_stay_for_a_day(tmp_path):
    # Machines that share a folder reuse each other's process ids.
    for name, age in (("young", 3600), ("old", 2 * 86400)):
        path = tmp_path / f".colorjax-00000000-{NOBODY}-{name}.partial"
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    assert remove_partials([tmp_path]) == 1
    assert [path.name for path in tmp_path.iterdir()] == [
        f".colorjax-00000000-{NOBODY}-young.partial"
    ]
