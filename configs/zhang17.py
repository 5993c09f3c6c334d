"""Real-Time User-Guided Image Colorization (Zhang et al., SIGGRAPH 2017; docs/papers.md).

    python -m colorjax.main --config=configs/zhang17.py --config.data.path=PHOTOS
    colorjax colorize photo.jpg --checkpoint runs/zhang17 --hint 120,80,#c04030

Arguments after the colon: `size` (px), `batch`, `width` (factor on all channels), `learns` (both |
classification | regression: the original's stages; chain them with --config.init_from), `faithful`
(the original's crop, batch and first learning rate), `debug` (a few steps).
"""

from ml_collections import ConfigDict

from configs import default


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of Zhang 2017; see the file's docstring for `arg`."""
    args = default.parse_arg(
        arg, size=64, batch=32, width=1.0, learns="both", faithful=False, debug=False
    )
    config = default.get_config()
    config.batch_size = args.batch
    config.total_steps = 100_000
    config.eval_every = 2_000
    config.checkpoint_every = 1_000
    config.data.image_size = args.size
    config.data.hints = True  # 7 on average; one photo in eight has none

    config.model = ConfigDict({"name": "zhang17", "width": args.width})
    config.model.add_layer = False  # before the last layer, for fine-tuning (train_only=added)
    config.model.mask_cent = 0.0  # as in the released weights; 0.5 in those of its training code
    config.model.class_head = True
    config.model.learns = args.learns

    config.loss.name = "smooth_l1_and_grid"
    config.evaluation.hint_counts = (0, 1, 2, 5, 10, 20, 50, 100)
    default.adamw_cosine(config.optimizer)

    if args.faithful:
        config.batch_size = 25
        config.data.image_size = 176
        config.data.crop_scale = (0.08, 1.0)
        rate = 1e-5 if args.learns == "regression" else 1e-4
        default.plain_optimizer(config.optimizer, "adam", rate)
    if args.debug:
        default.debug_schedule(config)
    return config
