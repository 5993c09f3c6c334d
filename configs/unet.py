"""U-Net for small photos such as CIFAR-10 (KTH DD2424 project, Nazeri et al.; docs/papers.md).

    python -m colorjax.main --config=configs/unet.py --config.data.name=cifar10 \
        --config.data.path=DIR --config.data.eval_split=test
    python -m colorjax.main --config=configs/unet.py:size=64 --config.data.path=PHOTOS

Arguments after the colon: `size` (px, a multiple of 16; 32), `batch`, `width` (factor on all
channels), `places` (the deeper layout; a multiple of 128 px; 256), `faithful` (the project's
optimizer, normalization and split), `debug` (a few steps).

It trains with loss.name=mse, l1, smooth_l1, rebalanced_ce (with a head over bins), feature or
adversarial.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of the U-Net; see the file's docstring for `arg`."""
    args = default.parse_arg(
        arg, size=0, batch=128, width=1.0, places=False, faithful=False, debug=False
    )
    config = default.get_config()
    config.batch_size = args.batch
    config.total_steps = 10_400  # 30 epochs of the 44,476 photos of the original's split
    config.eval_every = 2_080
    config.checkpoint_every = 520
    take_small_photos(config, args.size or (256 if args.places else 32))
    config.model = unet_model(args.width)
    if args.places:
        config.model.layout = "places"

    config.loss.name = "mse"
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    config.critic_optimizer.learning_rate = 3e-5  # for loss.name=adversarial
    config.critic_optimizer.b1 = 0.0

    if args.faithful:
        config.total_steps = 69_400  # 200 epochs
        config.data.flip = False
        config.data.validation = "hue"
        config.data.validation_fraction = 0.1
        config.data.drop_lowest_hue = 582
        config.model.norm = "affine"  # its BatchNorm was never in training mode
        config.model.kernel_init = "glorot"
        keras_norm(config.model)
        # In steps, although epochs were intended: after one epoch the rate is 2.4e-7.
        config.optimizer.schedule = "exponential"
        config.optimizer.decay_factor = 0.3
        config.optimizer.decay_steps = 50
    if args.debug:
        default.debug_schedule(config)
    return config


def keras_norm(model: ConfigDict) -> None:
    """Sets BatchNorm's options of Keras and of TensorFlow's layers, their defaults."""
    model.norm_momentum = 0.99
    model.norm_epsilon = 1e-3


def take_small_photos(config: ConfigDict, size: int) -> None:
    """Sets uncropped photos with random mirroring, as usual for CIFAR-10."""
    config.data.image_size = size
    config.data.crop_scale = (1.0, 1.0)
    config.data.crop_ratio = (1.0, 1.0)


def unet_model(width: float) -> ConfigDict:
    """Returns `config.model` of a U-Net with every field."""
    model = ConfigDict({"name": "unet", "layout": "cifar", "width": width})
    model.add_layer = False  # before the last layer, for fine-tuning (train_only=added)
    model.space = "ab"  # output space: ab | lab | rgb
    model.head = "auto"  # ab | bins; auto: bins for losses over bins
    model.dropout = 0.5
    model.norm = "batch"  # batch | affine
    model.norm_momentum = 0.9  # share of BatchNorm's running statistics that a step keeps
    model.norm_epsilon = 1e-5  # added to BatchNorm's variances
    model.kernel_init = "he"  # he | glorot | lecun
    model.gray_range = (-1.0, 1.0)  # values of black and white in the network
    model.temperature = 0.38  # of the annealed mean, with bins
    return model
