"""DeOldify's generators (Antic 2019; docs/papers.md), without its GAN.

    python -m colorjax.main --config=configs/deoldify.py --config.data.path=PHOTOS
    python -m colorjax.main --config=configs/deoldify.py:variant=stable,width=0.25 \
        --config.data.path=PHOTOS

Arguments after the colon: `variant` (artistic: ResNet-34 with the deep decoder | stable: ResNet-101
with the wide one), `size` (px, a multiple of 16), `batch`, `width` (factor on all channels),
`debug` (a few steps).

The published weights are imported with `colorjax import-weights deoldify`, and trained on with
--config.init_from=WORKDIR. The original's loss is feature (with features.name=vgg16_bn and
features.path), then adversarial: configs/nogan.py has its schedule.
"""

from ml_collections import ConfigDict

from configs import default

VARIANTS = {"artistic": ("resnet34", "deep"), "stable": ("resnet101", "wide")}


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of DeOldify; see the file's docstring for `arg`."""
    args = default.parse_arg(arg, variant="artistic", size=64, batch=16, width=1.0, debug=False)
    if args.variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, not {args.variant!r}")
    config = default.get_config()
    config.batch_size = args.batch
    config.total_steps = 100_000
    config.eval_every = 2_000
    config.checkpoint_every = 1_000
    config.data.image_size = args.size
    config.data.grey = "luma"  # as the original; the network's input is a gray level of sRGB

    encoder, decoder = VARIANTS[args.variant]
    config.model = ConfigDict({"name": "deoldify", "encoder": encoder, "decoder": decoder})
    config.model.width = args.width
    config.model.add_layer = False  # before the last layer, for fine-tuning (train_only=added)
    config.loss.name = "l1"  # feature and adversarial work too
    default.adamw_cosine(config.optimizer)
    if args.debug:
        default.debug_schedule(config)
    return config
