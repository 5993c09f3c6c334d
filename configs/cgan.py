"""Conditional GAN (Isola et al. 2017; Nazeri et al. 2018; docs/papers.md).

    python -m colorjax.main --config=configs/cgan.py --config.data.name=cifar10 \
        --config.data.path=DIR --config.data.eval_split=test
    python -m colorjax.main --config=configs/cgan.py:size=64 --config.data.path=PHOTOS

A U-Net predicts ab. A patch discriminator sees gray and ab. The L1 loss has weight 100.

Arguments after the colon: `size`, `batch`, `width` (of both networks), `nazeri` (predicts Lab with
lightness, as released), `dcgan` (the KTH DD2424 project's DCGAN in RGB, 32 px), `faithful` (with
nazeri or dcgan: pictures use the predicted lightness; losses and training schedule are the
original's), `debug`.
"""

from ml_collections import ConfigDict

from configs import default, unet


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of the conditional GANs; see the file's docstring for `arg`."""
    args = default.parse_arg(
        arg,
        size=32,
        batch=128,
        width=1.0,
        nazeri=False,
        dcgan=False,
        faithful=False,
        debug=False,
    )
    if args.nazeri and args.dcgan:
        raise ValueError("nazeri and dcgan exclude each other; give one of them")
    if args.faithful and not (args.nazeri or args.dcgan):
        raise ValueError("faithful needs nazeri or dcgan; add one of them")
    config = default.get_config()
    config.batch_size = args.batch
    config.total_steps = 10_400  # 30 epochs of 44,476 photos; the original: 200 epochs of 49,418
    config.eval_every = 2_080
    config.checkpoint_every = 520
    unet.take_small_photos(config, args.size)
    config.data.drop_grey = True  # R = G = B everywhere: Nazeri's rule
    config.model = unet.unet_model(args.width)
    config.critic = ConfigDict({"name": "patch", "width": args.width, "conditional": True})
    config.critic.norm = True
    config.critic.spectral_norm = False
    config.critic.attention = False
    _shared_fields(config.critic)

    config.loss.name = "adversarial"
    config.loss.feature_weight = 0.0
    config.loss.l1_weight = 100.0
    config.turns.critic_steps = 1
    config.turns.generator_steps = 2
    # The rates decay with the critic's steps: one for two of the generator.
    _decay(config.optimizer, 3e-4, 20_000, 1e-6)
    _decay(config.critic_optimizer, 3e-5, 10_000, 1e-7)

    if args.nazeri:
        config.model.space = "lab"
        config.model.kernel_init = "lecun"
        config.data.grey = "luma"  # tf.image.rgb_to_grayscale
    if args.dcgan:
        config.batch_size = 50 if args.batch == 128 else args.batch
        config.data.drop_grey = False
        config.data.grey = "mean"
        config.model.layout = "dcgan"
        config.model.space = "rgb"
        config.critic = ConfigDict({"name": "dcgan", "width": args.width, "conditional": True})
        _shared_fields(config.critic)
        config.loss.true_target = 0.9
        config.turns.critic_steps = 2
        config.turns.generator_steps = 1
        for optimizer in (config.optimizer, config.critic_optimizer):
            default.plain_optimizer(optimizer, "adam", 1e-4)
            optimizer.b1 = 0.9
    if args.faithful:
        config.inference.lightness = "predicted"
        config.data.validation_fraction = 0.0  # all photos train
        config.data.flip = args.nazeri
        for network in (config.model, config.critic):
            unet.keras_norm(network)
            network.kernel_init = "lecun" if args.nazeri else "glorot"
            network.gray_range = (0.0, 255.0) if args.nazeri else (0.0, 1.0)
    if args.faithful and args.dcgan:
        config.total_steps = (
            900_000  # 300 times two epochs for the critic and one for the colorizer
        )
        config.turns.kind = "passes"
        config.loss.fooling_target = 0.9
        config.loss.l1_weight = 0.0
        config.loss.cosine_weight = 1.0
    if args.faithful and args.nazeri:
        config.total_steps = 78_000  # 200 epochs
        config.model.dropout = 0.0  # never active there
    if args.debug:
        default.debug_schedule(config)
    return config


def _shared_fields(critic: ConfigDict) -> None:
    """Adds the fields that critics share with the colorizer."""
    critic.norm_momentum = 0.9
    critic.norm_epsilon = 1e-5
    critic.kernel_init = "he"
    critic.gray_range = (-1.0, 1.0)


def _decay(optimizer: ConfigDict, rate: float, steps: int, lowest: float) -> None:
    optimizer.name = "adam"
    optimizer.learning_rate = rate
    optimizer.b1 = 0.0
    optimizer.schedule = "exponential"
    optimizer.decay_factor = 0.1
    optimizer.decay_steps = steps
    optimizer.lowest_rate = lowest
