"""Natural Image Colorization (ACIIDS 2020): edge branch, saturated targets (docs/papers.md).

    python -m colorjax.main --config=configs/edge_fusion.py --config.data.path=PHOTOS
    colorjax sweep --config=configs/edge_fusion.py --vary data.saturation=1,1.4,1.6,1.8,2

Arguments after the colon: `size` (px, a multiple of 32, of training and of the global branch),
`batch`, `width` (factor on all channels), `global_branch` (faithful | iizuka: shared low-level
features and a classifier), `edges` (canny | sobel | off), `faithful` (the original's scales,
optimizer and size), `debug` (a few steps).

The factor T on the saturation of the targets is data.saturation, 1.8 here. Evaluation compares with
the true colors; metrics whose names end in _scaled compare with the saturated targets.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of the edge-fusion network; see the file's docstring for `arg`."""
    args = default.parse_arg(
        arg,
        size=64,
        batch=32,
        width=1.0,
        global_branch="faithful",
        edges="canny",
        faithful=False,
        debug=False,
    )
    config = default.get_config()
    config.batch_size = args.batch
    config.total_steps = 100_000
    config.eval_every = 2_000
    config.checkpoint_every = 1_000

    config.data.image_size = args.size
    config.data.saturation = 1.8  # T, chosen by eye among 1, 1.4, 1.6, 1.8 and 2
    config.data.saturation_clip = True  # in the original the saturation can exceed 1
    config.data.canny_scale = 1.0  # L / 100; the original uses L with thresholds for 0 ... 1

    config.model = ConfigDict({"name": "edge_fusion", "width": args.width})
    config.model.add_layer = False  # before the last layer, for fine-tuning (train_only=added)
    config.model.global_size = args.size
    config.model.global_branch = args.global_branch
    config.model.edges = args.edges
    config.model.num_classes = -1  # that of the data, with global_branch=iizuka
    config.model.norm = True  # the original has none, and hardly learns with SGD
    config.model.dense_activation = "relu"  # linear in the original, which merges the two layers
    config.model.kernel_init = "he"
    config.model.stride_padding = "both"  # of convolutions of stride 2: both sides | after
    config.model.ab_range = 110.0
    config.model.raw_lightness = False
    config.model.upsample = "bilinear"

    config.loss.name = "mse_and_class"  # without a classifier: mse
    default.adamw_cosine(config.optimizer)

    if args.faithful:
        config.batch_size = 16
        config.total_steps = 515_120  # 40 epochs of 206,047 photos
        config.data.image_size = config.model.global_size = 256
        config.data.crop_scale = (1.0, 1.0)
        config.data.crop_ratio = (1.0, 1.0)
        config.data.flip = False
        config.data.saturation_clip = False
        config.data.canny_scale = 100.0
        config.model.norm = False
        config.model.dense_activation = "linear"
        config.model.kernel_init = "glorot"
        config.model.stride_padding = "after"  # Keras' SAME
        config.model.ab_range = 128.0
        config.model.raw_lightness = True
        config.model.upsample = "nearest"
        # The original's 0.01 is for the squared error of ab / 128; ours, of ab / 110, is larger.
        default.plain_optimizer(config.optimizer, "sgd", 0.01 * (110 / 128) ** 2)
        config.optimizer.b1 = 0.0  # no momentum
        config.optimizer.schedule = "plateau"
        config.optimizer.decay_factor = 0.1
        config.optimizer.plateau_window = 12_878  # an epoch
        config.optimizer.plateau_patience = 10
    if args.debug:
        default.debug_schedule(config)
    return config
