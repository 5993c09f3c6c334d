"""DDColor: color queries that attend to a photo (Kang et al. 2023; docs/papers.md).

    python -m colorjax.main --config=configs/ddcolor.py --config.data.path=PHOTOS \
        --config.init_encoder=convnext_tiny_22k_224.pth
    python -m colorjax.main --config=configs/ddcolor.py:small --config.data.path=PHOTOS
    python -m colorjax.main --config=configs/ddcolor.py:faithful --config.data.path=IMAGENET \
        --config.init_encoder=convnext_tiny_22k_224.pth \
        --config.features.path=vgg16_bn-6c64b313.pth

init_encoder is Facebook's file of ConvNeXt, or, with `small`, imagenet (colorjax[encoders]).

Arguments after the colon: `encoder` (convnext_t | convnext_l | convnext_test: tiny and random, for
first trials), `small` (EfficientNet-Lite0 as the encoder, few queries, no spectral norm: 4.5
million parameters), `vgg` (features of VGG16, features.path), `faithful` (loss and schedule of the
original), `artistic` (without the colorfulness term, as the published weights of that name),
`size` (px, a multiple of 32), `batch`, `debug` (a few steps). On a GPU or TPU add
--config.dtype=bfloat16.
"""

from ml_collections import ConfigDict

from configs import default

# Channels of all parts, for encoder=convnext_test.
_TEST = {"widths": (24, 16, 16), "dim": 16, "queries": 8, "layers": 3, "mlp": 32}
_SMALL = {"widths": (128, 96, 64), "dim": 128, "queries": 32, "layers": 3, "mlp": 512}
_PUBLISHED = {"widths": (512, 512, 256), "dim": 256, "queries": 100, "layers": 9, "mlp": 2048}


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of DDColor; see the file's docstring for `arg`."""
    args = default.parse_arg(
        arg,
        encoder="convnext_t",
        small=False,
        vgg=False,
        faithful=False,
        artistic=False,
        size=256,
        batch=16,
        debug=False,
    )
    if args.small and args.faithful:
        raise ValueError("small and faithful exclude each other; give one of them")
    is_test = args.encoder == "convnext_test"
    config = default.get_config()
    config.batch_size = args.batch
    config.total_steps = 100_000
    config.eval_every = 5_000
    config.checkpoint_every = 500
    config.data.image_size = args.size
    config.data.targets = "device"

    config.model = ConfigDict({"name": "ddcolor"})
    config.model.encoder = "lite0" if args.small else args.encoder
    # Channels at strides 16, 8 and 4; channels and number of the queries; layers of the color
    # decoder and hidden channels of their dense layers.
    config.model.update(_SMALL if args.small else _TEST if is_test else _PUBLISHED)
    config.model.full_size = not args.small  # False: predicts a quarter of the size
    config.model.spectral_norm = not args.small
    config.model.add_layer = False  # after the pixel decoder, for fine-tuning (train_only=added)
    config.critic = ConfigDict({"name": "ddcolor", "width": 0.125 if is_test else 1.0})
    config.critic.channels = 64
    config.critic.blocks = 3
    config.init_encoder = "imagenet" if args.small else ""

    config.loss.name = "adversarial"
    config.loss.l1_weight = 11.0  # 0.1 for each ab unit
    config.loss.adversarial_weight = 1.0
    config.features.name = "lite0"
    config.loss.feature_weight = 1.0
    if args.vgg or args.faithful:
        config.features.name = "vgg16_bn_conv"
        config.loss.feature_weight = 5.0
    # The original sums it over the 4 photos of a GPU, with weight 0.5. It causes red blotches in
    # shadows; the published "artistic" weights are trained without.
    config.loss.colorfulness_weight = 0.0 if args.artistic else 2.0 if args.faithful else 0.5

    for optimizer in (config.optimizer, config.critic_optimizer):
        default.adamw_cosine(optimizer)
        optimizer.learning_rate = 1e-4
        optimizer.b2 = 0.99
        optimizer.weight_decay = 0.01  # on kernels only; the original: on everything
    config.critic_optimizer.weight_decay = 0.0
    config.critic_optimizer.name = "adam"
    config.optimizer.ema_decay = 0.999
    config.optimizer.encoder_factor = 0.1  # of a pretrained encoder
    if args.faithful:
        _take_the_originals(config)
    if args.debug:
        default.debug_schedule(config)
        for optimizer in (config.optimizer, config.critic_optimizer):
            optimizer.warmup_steps = 0
    return config


def _take_the_originals(config: ConfigDict) -> None:
    """Sets the original's data and schedule; it squashes photos to squares, which we crop."""
    config.total_steps = 400_000
    config.data.flip = False  # its option is never read
    config.data.crop_scale = (1.0, 1.0)
    config.data.crop_ratio = (1.0, 1.0)
    config.loss.judged_saturation = 1.2
    for optimizer in (config.optimizer, config.critic_optimizer):
        optimizer.schedule = "steps"
        optimizer.boundaries = tuple(range(80_000, 400_000, 40_000))
        optimizer.decay_factor = 0.5
        optimizer.warmup_steps = 0
        optimizer.clip_norm = 0.0
    config.optimizer.ema_decay = 0.0
    config.optimizer.encoder_factor = 1.0
