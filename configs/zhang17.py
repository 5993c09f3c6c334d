"""Real-Time User-Guided Image Colorization (Zhang et al., SIGGRAPH 2017; docs/papers.md).

    python -m colorjax.main --config=configs/zhang17.py --config.data.path=PHOTOS
    colorjax colorize photo.jpg --checkpoint runs/zhang17 --hint 120,80,#c04030

Arguments after the colon: `size` (px), `batch`, `width` (factor on all channels), `learns` (both |
classification, without hints | regression), `faithful` (the original's crop, batch and first
learning rate), `stage` (1 to 4: the original's stages, faithful; below), `debug` (a few steps).

The original trains in four stages, each from the weights of the one before (--config.init_from):

    1  classification without hints, rate 1e-4, 100 epochs of 10 classes (set data.classes)
    2  classification without hints, rate 1e-4, 15 epochs
    3  regression with hints, rate 1e-5, 10 epochs
    4  regression with hints, rate 1e-6, 5 epochs
"""

from ml_collections import ConfigDict

from configs import default

# What is learned, the rate and the steps of each stage of the released scripts/train_siggraph.sh;
# an epoch is 51,247 batches of ImageNet's 1,281,167 photos, or 520 of 13,000 in 10 classes.
STAGES = {
    1: ("classification", 1e-4, 52_000),
    2: ("classification", 1e-4, 768_705),
    3: ("regression", 1e-5, 512_470),
    4: ("regression", 1e-6, 256_235),
}


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of Zhang 2017; see the file's docstring for `arg`."""
    args = default.parse_arg(
        arg, size=64, batch=32, width=1.0, learns="both", faithful=False, stage=0, debug=False
    )
    if args.stage and args.stage not in STAGES:
        raise ValueError(f"stage must be from 1 to 4, not {args.stage}")
    if args.stage and args.learns != "both":
        raise ValueError("a stage says what is learned; leave out learns")
    learns = STAGES[args.stage][0] if args.stage else args.learns
    config = default.get_config()
    config.batch_size = args.batch
    config.total_steps = 100_000
    config.eval_every = 2_000
    config.checkpoint_every = 1_000
    config.data.image_size = args.size
    config.data.hints = True  # 7 on average; one photo in eight has none
    if learns == "classification":
        config.data.hint_stop = 1.0  # none: sample_p 1.0 in the original

    config.model = ConfigDict({"name": "zhang17", "width": args.width})
    config.model.add_layer = False  # before the last layer, for fine-tuning (train_only=added)
    config.model.mask_cent = 0.0  # as in the released weights; 0.5 in those of its training code
    config.model.class_head = True
    config.model.learns = learns

    config.loss.name = "smooth_l1_and_grid"
    config.evaluation.hint_counts = (0, 1, 2, 5, 10, 20, 50, 100)
    default.adamw_cosine(config.optimizer)

    if args.faithful or args.stage:
        config.batch_size = 25
        config.data.image_size = 176
        config.data.crop_scale = (0.08, 1.0)
        config.evaluation.hint_places = "gaussian"
        default.plain_optimizer(config.optimizer, "adam", 1e-5 if learns == "regression" else 1e-4)
    if args.stage:
        _, config.optimizer.learning_rate, config.total_steps = STAGES[args.stage]
    if args.debug:
        default.debug_schedule(config)
    return config
