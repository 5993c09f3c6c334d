import pytest

from colorjax.cli import main


def test_without_a_command_it_prints_help(capsys):
    assert main.run([]) == 0
    alone = capsys.readouterr()
    assert "colorize photos" in alone.out
    assert main.run(["--help"]) == 0
    assert capsys.readouterr() == alone


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["colorise"], "unknown command 'colorise' (did you mean colorize?); known: calibrate"),
        (
            ["colorize", "a.jpg", "--saturatoin", "2"],
            "(did you mean --saturation?); see colorjax colorize --help",
        ),
        (["compare", "--overwite"], "see colorjax compare --help"),
        (["train", "--config=unett"], "unett does not exist (did you mean unet?)"),
        (["train"], "give a config, such as --config=unet; there are: cgan"),
        (["eval", "--config=unet", "--workdri=a"], "Did you mean: workdir"),
    ],
)
def test_misspelled_names(argv, text, capsys):
    assert main.run(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("colorjax: ")
    assert text in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(("name", "argv"), [("train", []), ("eval", ["--mode=eval"])])
def test_train_and_eval_are_the_program(name, argv, monkeypatch):
    from colorjax import main as program

    given = []
    monkeypatch.setattr(program, "run", lambda argv: given.append(argv) or 7)
    options = ["--config", "unet", "--workdir=a", "--config.seed=1", "--help"]
    assert main.run([name, *options]) == 7
    assert given == [[f"colorjax {name}", *argv, *options]]
