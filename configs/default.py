"""All fields of a colorjax config, with their defaults.

Not for direct use: a method's config starts from here and changes what differs. Fields under
`model` belong to the network; the method's config adds them.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """Returns the default config; takes no argument."""
    if arg:
        raise ValueError(f"configs/default.py takes no argument, got {arg!r}")
    config = ConfigDict()
    config.seed = 0  # of weights, order of photos, crops and dropout
    config.batch_size = 16  # total over all devices and hosts
    config.total_steps = 1_000
    config.chroma_alarm = 500  # steps of near-gray predictions before a warning; 0: never
    config.log_every = 50  # steps between lines in metrics.jsonl and TensorBoard
    config.eval_every = 500  # steps between evaluations; 0: only at the end
    config.checkpoint_every = 500  # steps between saved states; the last is always saved
    config.dtype = "float32"  # of the network's body: float32 | bfloat16
    # Layers whose outputs are kept for the backward pass; all others are recomputed. "none": keep
    # no layer's; empty: keep everything.
    config.remat = ()
    # Start the network's encoder from published weights: imagenet, or for ConvNeXt its file.
    config.init_encoder = ""
    # Number of gray photos from which the encoder's BatchNorm statistics are recomputed; 0: use the
    # published statistics, which are better (docs/weights.md).
    config.init_encoder_photos = 0
    config.init_from = ""  # initial weights: a workdir, or the name of shipped weights
    # A new workdir continues from the newest intact checkpoint of this workdir, or from a given
    # step, WORKDIR@STEP: weights, optimizer, average and step (docs/devices.md).
    config.fork_from = ""
    config.train_only = "all"  # layers that learn: all | head | added (model.add_layer) | guide
    # Where metrics go: jsonl (metrics.jsonl, always), tensorboard, wandb (extra `wandb`).
    config.writers = "jsonl,tensorboard"
    config.progress = True  # show a progress bar on a terminal

    config.parallel = ConfigDict()
    config.parallel.fsdp = 1  # devices that share one copy of weights and optimizer state
    config.parallel.rules = ()  # (pattern, "widest" | "whole"), before parallel/mesh.py's
    config.parallel.accumulate = 1  # microbatches of a batch, for gradient accumulation

    data = config.data = ConfigDict()
    data.name = "folder"  # folder | tfds:NAME | array_record | cifar10 | sample_photos
    data.path = ""  # a folder, shards, TFDS's data_dir, or the folder of CIFAR-10's files
    data.verify = True  # cifar10: check the files against their published MD5 sums
    data.split = "train"  # tfds, cifar10: a slice such as train[:200000]
    data.eval_path = ""  # test photos; empty: eval_fraction of data.path
    data.eval_split = ""  # tfds, cifar10: test slice; empty: eval_fraction of data.split
    data.eval_fraction = 0.1  # share of test photos, drawn by a hash of each photo's name
    data.validation_fraction = 0.05  # share of training photos held out for validation
    data.validation = "hash"  # how those are drawn: hash | random | hue (every k-th by mean hue)
    data.split_seed = 24  # with random; the original's
    data.hue_mean = "arithmetic"  # with hue: arithmetic (the original's) | circular
    data.drop_lowest_hue = 0  # with hue: drop this many photos of lowest hue; the original's: 582
    data.parts = ""  # JSON file {"train": [NAME, ...], "validation": ..., "eval": ...}: the split
    data.labels = "folder"  # folder | path | none | a file of lines "PHOTO LABEL"
    data.classes = ()  # keep only photos with these labels; empty: all
    data.limit = 0  # number of training photos; 0: all
    data.eval_limit = 0  # number of test photos; 0: all
    data.image_size = 64  # side of the square photos in pixels, in training and evaluation
    data.crop_scale = (0.5, 1.0)  # random resized crop: share of the photo's area
    data.crop_ratio = (0.75, 4 / 3)  # and its width / height
    data.flip = True  # mirror half of the photos
    data.drop_grey = False  # drop exactly gray training photos (R = G = B everywhere)
    data.min_chroma = 0.0  # drop training photos whose mean chroma, in Lab units, is below this
    data.low_chroma_rate = 0.0  # but keep this share of the latter, drawn by hash
    # (source, number of times that each of its photos is seen in an epoch). A source is the first
    # folder of a photo's name; sources not listed have weight 1.
    data.weights = ()
    data.grey = "lightness"  # gray input of the network: lightness (L) | luma | mean (of R, G, B)
    # Share of the training photos whose gray input is degraded to look like an old photograph; the
    # target is unchanged.
    data.aged = 0.0
    data.canny_scale = 1.0  # Canny runs on L / 100 times this; 100: the original's
    data.canny_sigma = 1.0  # standard deviation of its Gaussian in pixels
    data.canny_thresholds = (0.1, 0.2)  # low and high thresholds of its hysteresis
    data.saturation = 1.0  # the factor T of saturation-scaled targets; 1: true colors
    data.saturation_clip = True  # keep the scaled saturation within [0, 1]
    data.targets = "host"  # where Lab is computed: host (grain pipeline) | device (inside jit)
    data.hints = False  # simulate a user's color hints, for networks with a hint input
    data.hint_stop = 1 / 8  # p of the geometric number of hints: 7 on average
    data.hint_sides = (1, 9)  # smallest and largest side of a hint in pixels
    data.global_hints = 0.0  # share of photos whose palette is given, for networks with that input
    data.num_workers = 0  # processes that decode photos; 0: threads of this process

    config.model = ConfigDict({"name": ""})
    config.loss = ConfigDict()
    # mse | l1 | smooth_l1 | mse_and_class | class_cross_entropy | ce | rebalanced_ce |
    # smooth_l1_and_grid | smooth_l1_and_bins | hinted_l1 | feature | adversarial
    config.loss.name = "mse"
    # smooth_l1 and smooth_l1_and_*: |d| where the square becomes linear; 1 / 110 is one ab unit.
    config.loss.delta = 1 / 110
    config.loss.prior = ""  # rebalanced_ce: file of `colorjax prior`; empty: Tiny ImageNet's
    config.loss.lam = 0.5  # its lambda: share of the uniform distribution; 1: no rebalancing
    config.loss.soft_k = 5  # ce, rebalanced_ce: number of bins of the soft encoding
    config.loss.soft_sigma = 5.0  # its width in ab units
    config.loss.alpha = (
        1 / 300
    )  # mse_and_class: weight of the label cross-entropy; 0: no classifier
    config.loss.reduction = "mean"  # reduction of its color term over pixels: mean | sum
    config.loss.compare_at = "full"  # size at which it compares: full | half (network output)
    config.loss.class_weight = 1.0  # smooth_l1_and_*: weight of the cross-entropy
    config.loss.gan = "bce"  # adversarial: bce | hinge
    config.loss.true_target = 1.0  # critic's target on true colors; 0.9: one-sided smoothing
    config.loss.fooling_target = 1.0  # colorizer's target on its own colors
    config.loss.adversarial_weight = 1.0
    config.loss.l1_weight = 100.0  # adversarial, feature, smooth_l1_and_bins
    config.loss.cosine_weight = 0.0  # adversarial: weight of the cosine between whole photos
    config.loss.feature_weight = 1.0  # adversarial, feature, smooth_l1_and_bins
    config.loss.colorfulness_weight = 0.0  # adversarial: weight of 1 - colorfulness
    # Factor on the saturation of the true pictures that critics in RGB and feature networks see.
    config.loss.judged_saturation = 1.0
    config.loss.tap_weights = ()  # weight of each layer; empty: those of the feature network

    optimizer = config.optimizer = ConfigDict()
    optimizer.name = "adam"  # adam | adamw | adadelta | sgd | rmsprop
    optimizer.learning_rate = 1e-3
    # constant | cosine | linear | steps | exponential | plateau | wsd, after the warm-up
    optimizer.schedule = "constant"
    optimizer.warmup_steps = 0
    # wsd: number of last steps, in which the rate falls to 0 as 1 - sqrt(share of them done);
    # usually 10 to 20 % of total_steps; 0: no cool-down.
    optimizer.cooldown_steps = 0
    optimizer.boundaries = ()  # schedule steps: steps at which the rate is scaled by decay_factor
    optimizer.decay_factor = 0.1
    optimizer.decay_steps = 1_000  # exponential: rate x decay_factor ^ (step / decay_steps)
    optimizer.lowest_rate = 0.0  # its lower bound
    optimizer.plateau_window = 1_000  # plateau: steps over which the training loss is averaged
    optimizer.plateau_patience = 10  # windows without a better loss before the rate falls
    optimizer.rho = 0.9  # adadelta: decay of its two averages
    optimizer.b1 = 0.9  # momentum, also of sgd and rmsprop
    optimizer.b2 = 0.999  # decay of squared gradients
    optimizer.weight_decay = 0.0  # decoupled, on kernels only
    optimizer.clip_norm = 0.0  # clip gradients to this global norm; 0: off
    # Decay of an exponential moving average of the weights, which is evaluated and shipped with the
    # trained network's BatchNorm statistics; 0: off.
    optimizer.ema_decay = 0.0

    # Auxiliary networks: a critic, for the loss adversarial, and a feature network that compares
    # pictures layer by layer, if loss.feature_weight is not 0.
    config.critic = ConfigDict({"name": "patch", "width": 1.0})  # patch | dcgan | nogan | ddcolor
    config.critic_optimizer = optimizer.copy_and_resolve_references()
    optimizer.encoder_factor = 1.0  # factor on the learning rate of a pretrained encoder
    config.turns = ConfigDict()
    config.turns.kind = "ratio"  # alternate: ratio (in every batch) | passes (epochs) | switch
    config.turns.critic_steps = 1  # ratio, passes
    config.turns.generator_steps = 1
    config.turns.threshold = 0.65  # switch: the colorizer learns when the critic's loss is below
    features = config.features = ConfigDict()
    # classifier: trained first, on the same photos | vgg16_bn: taps of DeOldify | vgg16_bn_conv:
    # taps of DDColor | lite0: from colorjax[encoders]
    features.name = "classifier"
    features.path = ""  # vgg16_bn, vgg16_bn_conv: torchvision's file, vgg16_bn-6c64b313.pth
    features.width = 0.5  # classifier: factor on its channels
    features.num_classes = -1  # classifier: number of classes; -1: that of the data
    features.share = 0.1  # classifier: share of total_steps for its training
    features.learning_rate = 1e-3
    nogan = config.nogan = ConfigDict()
    nogan.shares = ()  # of the rest: pre-training, critic's pre-training, GAN; empty: no NoGAN
    nogan.generated = 0.1  # share of the training photos that are colorized to train the critic
    nogan.critic_learning_rate = 1e-3  # in its pre-training
    nogan.learning_rate = 1e-4  # of the colorizer in the GAN phase
    nogan.critic_factor = 5.0  # the critic's learning rate there, as a multiple
    nogan.save_every = 10  # steps of the GAN phase between candidate checkpoints
    nogan.pick = "auto"  # auto, or the step of a candidate
    nogan.max_rise = 0.05  # auto: largest relative rise of the feature loss
    nogan.max_drift = 2.0  # auto: largest drift of the mean a or b away from the truth's, in units

    stopping = config.early_stopping = ConfigDict()
    stopping.metric = ""  # validation metric, e.g. mae_ab; empty: no best checkpoint
    stopping.patience = 0  # evaluations without improvement that end the run; 0: never

    config.evaluation = ConfigDict()
    config.evaluation.batch_size = 64
    config.evaluation.baseline_photos = 10_000  # training photos used to fit the baselines
    config.evaluation.prior = ""  # of auc_rebalanced; as loss.prior, but the same for all methods
    config.evaluation.hint_counts = ()  # psnr_hints_N for each N up to 100: input or spread
    # Positions of those hints: uniform | gaussian (around the middle: the original's test).
    config.evaluation.hint_places = "uniform"
    config.evaluation.hue_bins = 0  # bins of the errors by mean hue (data.hue_mean); 0: none
    config.evaluation.report = True  # False: do not evaluate on the test photos; for tuning trials
    config.evaluation.grid_photos = 8  # rows of the picture gray | prediction | truth

    config.inference = ConfigDict()
    # Source of a picture's lightness, for networks that predict it too: photo | predicted
    config.inference.lightness = "photo"
    config.inference.size = 0  # short side, in pixels, for predicting chroma; 0: data.image_size
    # Which side gets that size: short | long | squash (both) | pad_square; of imported weights.
    config.inference.aspect = "short"
    config.inference.saturation = 1.0  # factor on the predicted ab; `colorjax calibrate` stores it
    # Source of ab: ab | annealed (the bins, at model.temperature) | blend (mean of the two).
    config.inference.decode = "ab"
    # Calibration of the distribution over bins, which does not change the colors of a picture:
    # softmax((logits + bin_bias) / bin_temperature); `colorjax calibrate` stores both.
    config.inference.bin_bias = ()  # 313 numbers; empty: 0
    config.inference.bin_temperature = 1.0
    return config


def debug_schedule(config: ConfigDict) -> None:
    """Shortens a config to a few steps and logs each of them: the argument `debug`."""
    config.total_steps = 6
    config.log_every = 1
    config.eval_every = 3
    config.checkpoint_every = 3
    config.optimizer.warmup_steps = 0
    config.evaluation.baseline_photos = 16


def adamw_cosine(optimizer: ConfigDict) -> None:
    """Sets AdamW with a cosine decay, which suits short runs of networks with BatchNorm."""
    optimizer.name = "adamw"
    optimizer.learning_rate = 1e-3
    optimizer.schedule = "cosine"
    optimizer.warmup_steps = 200
    optimizer.weight_decay = 1e-4
    optimizer.clip_norm = 1.0


def plain_optimizer(optimizer: ConfigDict, name: str, learning_rate: float) -> None:
    """Sets an optimizer without schedule, weight decay and clipping, as in the older papers."""
    optimizer.name = name
    optimizer.learning_rate = learning_rate
    optimizer.schedule = "constant"
    optimizer.warmup_steps = 0
    optimizer.weight_decay = 0.0
    optimizer.clip_norm = 0.0


def parse_arg(arg: str, **defaults) -> ConfigDict:
    """Parses `key=value,flag` after the colon of `--config=FILE.py:...`.

    Args:
        arg: the text, e.g. "size=32,debug".
        **defaults: all known keys with their defaults. The default's type converts the value; a
            bare `key` sets a boolean to True.

    Returns:
        The defaults, updated with the given values.

    Raises:
        ValueError: unknown key, or a value that does not fit the default's type.
    """
    values = ConfigDict(defaults)
    for item in filter(None, arg.split(",")):
        key, has_value, text = item.partition("=")
        if key not in defaults:
            raise ValueError(f"unknown config argument {key!r}; known: {', '.join(defaults)}")
        kind = type(defaults[key])
        if kind is bool:
            if text.lower() not in ("", "true", "false"):
                raise ValueError(f"config argument {key} must be true or false, not {text!r}")
            values[key] = text.lower() != "false"
        elif not has_value:
            raise ValueError(f"config argument {key} needs a value: {key}=...")
        else:
            try:
                values[key] = kind(text)
            except ValueError:
                raise ValueError(
                    f"config argument {key} must be {kind.__name__}, not {text!r}"
                ) from None
    return values
