"""Colorful Image Colorization (Zhang, Isola and Efros, ECCV 2016; docs/papers.md).

    python -m colorjax.main --config=configs/zhang16.py --config.data.path=PHOTOS
    python -m colorjax.main --config=configs/zhang16.py:variant=l2,width=0.25 --config.data.path=...

Arguments after the colon: `variant` (full: rebalanced classification | class: without rebalancing |
l2: regression), `size` (px), `batch`, `width` (factor on all channels), `faithful` (the paper's
crop, batch and schedule), `debug` (a few steps).
"""

from ml_collections import ConfigDict

from configs import default

VARIANTS = {"full": "rebalanced_ce", "class": "ce", "l2": "mse"}


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of Zhang 2016; see the file's docstring for `arg`."""
    args = default.parse_arg(
        arg, variant="full", size=64, batch=32, width=1.0, faithful=False, debug=False
    )
    if args.variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, not {args.variant!r}")
    config = default.get_config()
    config.batch_size = args.batch
    config.total_steps = 100_000
    config.eval_every = 2_000
    config.checkpoint_every = 1_000
    config.data.image_size = args.size

    config.model = ConfigDict({"name": "zhang16", "width": args.width})
    config.model.add_layer = False  # before the last layer, for fine-tuning (train_only=added)
    config.model.head = "ab" if args.variant == "l2" else "bins"
    config.model.temperature = 0.38  # T of the annealed mean, section 2.3; not used in training
    config.model.folded_temperature = 1.0  # 0.38 in imported weights, which already include it

    config.loss.name = VARIANTS[args.variant]
    config.loss.lam = 0.5  # section 2.2
    # The paper's 3e-5 is for 450,000 steps from a k-means initialization; He initialization and
    # BatchNorm allow 1e-3. Its decay of 1e-3 is coupled to a summed loss; ours, 1e-4, is decoupled.
    default.adamw_cosine(config.optimizer)

    if args.faithful:
        config.batch_size = 40
        config.total_steps = 450_000
        config.data.image_size = 176
        config.data.crop_scale = (0.4, 0.5)  # 176 px of a photo of about 256: 47 % of its area
        config.data.crop_ratio = (1.0, 1.0)
        config.loss.soft_k = 10  # the released code; the paper says 5
        config.optimizer.b2 = 0.99
        config.optimizer.learning_rate = 3e-5
        config.optimizer.schedule = "steps"
        config.optimizer.boundaries = (200_000, 375_000)
        config.optimizer.decay_factor = 0.316
        config.optimizer.warmup_steps = 0
        config.optimizer.clip_norm = 0.0
    if args.debug:
        default.debug_schedule(config)
    return config
