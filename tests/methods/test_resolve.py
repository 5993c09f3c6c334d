"""The "auto" fields of a config: classes, head."""

import pytest
from helpers.synthetic import tiny_config

from colorjax import methods
from colorjax.errors import RequestError
from colorjax.methods import resolve
from configs import edge_fusion, iizuka, nogan, unet


def joint(**model):
    config = iizuka.get_config("size=32,batch=2,width=0.01")
    config.model.update(model)
    return config


def resolved(config, classes):
    given = config.model.to_dict()
    result = resolve.resolve(config.lock(), classes)
    assert config.model.to_dict() == given
    return result.model.num_classes, resolve.why_no_classifier(
        config, classes, methods.build_loss(config)
    )


def test_an_open_number_becomes_that_of_the_data():
    assert iizuka.get_config().model.num_classes == -1
    assert resolved(joint(), 205) == (205, "")


def test_without_labels_the_classifier_is_off():
    assert resolved(joint(), 0) == (0, "the data has no labels")


def test_with_alpha_0_the_classifier_is_off():
    config = joint()
    config.loss.alpha = 0.0
    assert resolved(config, 205) == (0, "loss.alpha is 0")


@pytest.mark.parametrize(("given", "classes"), [(0, 0), (0, 205), (12, 0), (205, 205), (300, 205)])
def test_an_explicit_number_stays(given, classes):
    assert resolved(joint(num_classes=given), classes)[0] == given


def test_too_few_classes_are_refused():
    """A label without a logit would make the loss NaN."""
    with pytest.raises(RequestError, match=r"model\.num_classes=204, but the data has 205"):
        resolve.resolve(joint(num_classes=204), 205)


def test_a_network_without_a_classifier_says_so():
    config = edge_fusion.get_config("size=32,batch=2,width=0.01")
    assert resolved(config, 205) == (0, "this network has no classifier")
    config = edge_fusion.get_config("size=32,batch=2,width=0.01,global_branch=iizuka")
    assert resolved(config, 205) == (205, "")


@pytest.mark.parametrize("branch", ["faithful", "iizuka"])
def test_networks_have_the_classifier_that_is_promised(branch):
    config = edge_fusion.get_config(f"size=32,batch=2,width=0.01,global_branch={branch}")
    number, why = resolved(config, 5)
    network = methods.build_network(resolve.resolve(config, 5))
    assert network.can_classify == (why == "")
    assert ("class_logits" in network.outputs) == (number == 5)


@pytest.mark.parametrize(("name", "classes"), [("mse", 0), ("class_cross_entropy", 205)])
def test_a_loss_that_teaches_no_classes_has_no_classifier(name, classes):
    config = joint()
    config.loss.name = name
    config.loss.alpha = 0.0 if classes else 1.0  # only for mse_and_class
    why = "loss mse trains no classifier" if name == "mse" else ""
    assert resolved(config, 205) == (classes, why)
    methods.build(resolve.resolve(config, 205))


def test_networks_without_the_field_are_left_alone():
    config = tiny_config("")
    assert resolve.resolve(config, 3).model.to_dict() == config.model.to_dict()


@pytest.mark.parametrize(("loss", "head"), [("l1", "ab"), ("rebalanced_ce", "bins")])
def test_the_head_is_that_of_the_loss(loss, head):
    config = unet.get_config("width=0.125")
    config.loss.name = loss
    assert config.model.head == "auto"
    assert resolve.resolve(config, 0).model.head == head


def test_a_trained_feature_network_has_the_classes_of_the_data():
    config = nogan.get_config("width=0.125")
    assert resolve.trains_features(config, methods.build_loss(config))
    assert resolve.resolve(config, 7).features.num_classes == 7
    config.loss.feature_weight = 0.0
    assert not resolve.trains_features(config, methods.build_loss(config))
    assert resolve.resolve(config, 7).features.num_classes == config.features.num_classes


def test_an_unknown_loss_is_named():
    config = unet.get_config("width=0.125")
    config.loss.name = "l3"
    with pytest.raises(RequestError, match=r"loss loss.name = 'l3'; known: adversarial, ce"):
        resolve.resolve(config, 0)
