import pytest
from helpers.synthetic import tiny_config

from colorjax.errors import RequestError
from colorjax.tune import space
from colorjax.tune.request import StudyRequest
from configs import plain_cnn, unet


@pytest.fixture
def config():
    return plain_cnn.get_config()


def test_the_six_knobs_are_the_space_of_plain_cnn(config):
    knobs = {knob.field: knob for knob in space.read_space([], config)}
    assert set(knobs) == {
        "model.kernel_size",
        "model.filters",
        "model.dropout",
        "batch_size",
        "model.strides",
    }
    assert {name: knob.chosen_by_default for name, knob in knobs.items()} == {
        "model.kernel_size": 3,
        "model.filters": "x1",
        "model.dropout": 0.4,
        "batch_size": 16,
        "model.strides": "(1,2,2,1,1,1)",
    }
    half = knobs["model.filters"].value_of("x0.5")
    assert half == (32, 64, 64, 128, 128, 128, 64)
    assert knobs["model.strides"].value_of("(2,2,1,1,1,1)") == (2, 2, 1, 1, 1, 1)
    # Every value builds a network.
    StudyRequest(config, tuple(knobs.values()), "mae_ab", photos=1000).check()


def test_a_later_entry_replaces_a_field(config):
    knobs = space.read_space(["six-knobs", "config.model.kernel_size = 3,5"], config)
    assert [knob.choices for knob in knobs if knob.field == "model.kernel_size"] == [(3, 5)]
    assert len(knobs) == 5


def test_a_space_in_a_file(config, tmp_path):
    file = tmp_path / "space.txt"
    file.write_text("# of two fields\nbatch_size=8..32\n\ndata.flip=true,false  # mirrors\n")
    whole, choice = space.read_space([str(file)], config)
    assert (whole.low, whole.high, whole.choices) == (8, 32, ())
    assert choice.choices == (True, False)
    file.write_text("batch_size 8\n")
    with pytest.raises(RequestError, match="each line must be FIELD=VALUES, not 'batch_size 8'"):
        space.read_space([str(file)], config)


def test_kinds_follow_the_config(config):
    def read(text):
        return space.read_space([text], config)[0]

    rate = read("optimizer.learning_rate=log:1e-4..1")
    assert (rate.low, rate.high, rate.is_log) == (1e-4, 1.0, True)
    assert read("optimizer.learning_rate=1,2").choices == (1.0, 2.0)
    assert read("optimizer.name=adam,sgd").choices == ("adam", "sgd")
    assert read("data.crop_scale=(0.5,1.0),(0.2,1.0)").value_of("(0.2,1.0)") == (0.2, 1.0)
    assert read("model.dropout=0.5..0.6").chosen_by_default is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("six_knobs", "is not a readable file, not FIELD=VALUES, and not one of: six-knobs"),
        ("model.kernal=3,5", "unknown field of model in --space 'model.kernal': 'kernal'; known:"),
        ("model=3,5", "model is a group of fields; name one"),
        ("batch_size.x=3,5", "unknown field of batch_size"),
        ("batch_size=8,16.5", "batch_size: needs a whole number, not '16.5'"),
        ("batch_size=8,", "one of the values is empty"),
        ("batch_size=8", "needs at least two values, each once, not '8'"),
        ("batch_size=8,8", "needs at least two values, each once"),
        ("model.filters=x1,(64,128,128,256,256,256,128)", "each once"),
        ("model.dropout=a..b", "dropout: needs a number, not 'a'"),
        ("model.dropout=0.5..0.5", "needs LOW below HIGH"),
        ("model.dropout=0..inf", "needs a number, not 'inf'"),
        ("model.dropout=log:0..1", "must begin above 0"),
        ("optimizer.name=a..b", "a range needs a numeric field, and the config has 'adam'"),
        ("data.flip=yes,no", "needs true or false, not 'yes'"),
        ("model.filters=3,5", "needs tuples like"),
        ("model.filters=(3.5,4),(1,2)", "needs tuples like"),
        ("data.crop_scale=x1,x2", "needs tuples like"),
        ("total_steps=1,2", "cannot be varied: give --photos or --minutes"),
        ("seed=0,1", "a lucky seed is not a better setting"),
        ("data.eval_fraction=0.1,0.2", "trials with other photos or metrics are not comparable"),
        ("data.image_size=32,64", "are not comparable"),
        ("early_stopping.patience=1,2", "are not comparable"),
    ],
)
def test_what_is_wrong_is_named(config, text, message):
    with pytest.raises(RequestError) as error:
        space.read_space([text], config)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_other_networks_have_no_default_space():
    with pytest.raises(RequestError, match="no default space for the network 'unet'; give --space"):
        space.read_space([], unet.get_config())
    with pytest.raises(
        RequestError, match=r"unknown field of model in --space 'model\.kernel_size'"
    ):
        space.read_space(["six-knobs"], unet.get_config())


def request_for(texts, **options):
    config = tiny_config("")
    return StudyRequest(config, space.read_space(texts, config), "mae_ab", 100, **options)


def test_all_batch_sizes_see_the_same_photos():
    request = request_for(["batch_size=4,10"], evaluations=4)
    small, large = (request.trial_config({"batch_size": size}) for size in (4, 10))
    assert (small.total_steps, small.eval_every) == (25, 7)
    assert (large.total_steps, large.eval_every) == (10, 3)
    assert small.early_stopping.metric == "mae_ab"
    assert small.early_stopping.patience == 3
    assert not small.evaluation.report  # the test photos are not used
    assert request.config.evaluation.report  # a copy was changed
    assert small.data == request.config.data


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (
            ["model.kernel_size=3,4"],
            {},
            "--space model.kernel_size=4: model.kernel_size must be odd",
        ),
        (["model.strides=(1,2),(2,)"], {}, "model.filters needs one more number"),
        (["batch_size=4,101"], {}, "batch_size must be from 1 to --photos 100, not 101"),
        (["batch_size=0,4"], {}, "batch_size must be from 1 to --photos 100, not 0"),
        (["batch_size=4,8"], {"pruner": "best"}, "unknown --pruner 'best'; known: halving, median"),
        (["batch_size=4,8"], {"evaluations": 0}, "--evaluations must be at least 1, not 0"),
        (["batch_size=4,8"], {"minutes": -1.0}, "--minutes must be at least 0, not -1.0"),
        (["optimizer.name=adam,best"], {}, "best"),
    ],
)
def test_a_request_is_checked_before_anything_runs(texts, options, message):
    with pytest.raises(RequestError) as error:
        request_for(texts, **options).check()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_request_needs_validation_photos():
    config = tiny_config("", **{"data.validation_fraction": 0.0})
    with pytest.raises(RequestError, match="validation_fraction is 0"):
        StudyRequest(config, (), "mae_ab", 100).check()
    with pytest.raises(RequestError, match="unknown --metric 'beauty'"):
        StudyRequest(config, (), "beauty", 100).check()
