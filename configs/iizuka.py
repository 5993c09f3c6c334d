"""Let there be Color! (Iizuka, Simo-Serra and Ishikawa, SIGGRAPH 2016; docs/papers.md).

    python -m colorjax.main --config=configs/iizuka.py --config.data.path=PHOTOS
    colorjax colorize photo.jpg --checkpoint runs/iizuka --global-image other.jpg

Arguments after the colon: `size` (px, a multiple of 32, of training and of the global branch),
`batch`, `width` (factor on all channels), `faithful` (the paper's crop, batch, optimizer, range and
sizes), `tf1` (the layout of colorization_tensorflow: tanh, no BatchNorm, no classifier), `debug` (a
few steps).

Labels are the folders of the photos (`data.labels`). Without labels, or with loss.alpha 0, the
classifier is off; the log reports it.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of Iizuka 2016; see the file's docstring for `arg`."""
    args = default.parse_arg(
        arg, size=64, batch=32, width=1.0, faithful=False, tf1=False, debug=False
    )
    if args.faithful and args.tf1:
        raise ValueError("faithful (the paper) and tf1 (the port) exclude each other; give one")
    config = default.get_config()
    config.batch_size = args.batch
    config.total_steps = 100_000
    config.eval_every = 2_000
    config.checkpoint_every = 1_000

    config.data.image_size = args.size
    # image.rgb2y of the released code, which subtracts its mean; here it is 2 Y - 1.
    config.data.grey = "luma"
    # "Grayscale and low color variance" photos are dropped; the paper gives no threshold.
    config.data.drop_grey = True
    config.data.min_chroma = 3.0

    config.model = ConfigDict({"name": "iizuka", "width": args.width})
    config.model.add_layer = False  # before the last layer, for fine-tuning (train_only=added)
    config.model.global_size = args.size
    config.model.num_classes = -1  # -1: that of the data; 0: no classifier
    config.model.norm = True
    config.model.activation = "relu"
    config.model.kernel_init = "he"
    config.model.stride_padding = "both"  # of convolutions of stride 2: both sides | after
    config.model.ab_range = 110.0  # the paper's 100 clips the bluest blue
    config.model.upsample = "bilinear"

    config.loss.name = "mse_and_class"
    config.loss.alpha = 1 / 300  # section 3.3
    # The paper's ADADELTA needs many epochs.
    default.adamw_cosine(config.optimizer)

    if args.faithful:
        config.batch_size = 128
        config.total_steps = 200_000
        config.data.image_size = config.model.global_size = 224
        config.data.crop_scale = ((224 / 256) ** 2,) * 2  # 224 px of a photo of 256
        config.data.crop_ratio = (1.0, 1.0)
        config.model.ab_range = 100.0
        config.loss.compare_at = "half"
        # The paper scales colors by 200 ab units, we by 110. This keeps the same minimum.
        config.loss.alpha = (200 / 110) ** 2 / 300
        default.plain_optimizer(config.optimizer, "adadelta", 1.0)
    if args.tf1:
        config.batch_size = 1
        config.total_steps = 7_000  # 100 epochs of the port's 70 photos
        config.eval_every = 700
        config.checkpoint_every = 700
        config.data.image_size = config.model.global_size = 224
        config.data.grey = "lightness"
        config.data.drop_grey = False
        config.data.min_chroma = 0.0
        config.data.crop_scale = (1.0, 1.0)
        config.data.crop_ratio = (
            1.0,
            1.0,
        )  # center square; the port resizes without keeping the aspect
        config.data.flip = False
        config.model.num_classes = 0
        config.model.norm = False
        config.model.activation = "tanh"
        config.model.kernel_init = "normal"
        config.model.stride_padding = "after"  # TensorFlow's SAME
        config.model.ab_range = 127.5  # 8-bit ab / 255, up to half a unit
        config.model.upsample = "nearest"
        config.loss.name = "mse"
        default.plain_optimizer(config.optimizer, "adam", 1e-4)
    if args.debug:
        default.debug_schedule(config)
    return config
