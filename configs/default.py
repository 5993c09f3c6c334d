"""Every field that a colorjax config has, with its default.

Not meant to be run: a method's config starts from here and changes only what differs. Fields under
`model` belong to the network and are added by the method's config.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """Returns the default config; takes no argument."""
    if arg:
        raise ValueError(f"configs/default.py takes no argument, got {arg!r}")
    config = ConfigDict()
    config.seed = 0  # the one seed: weights, order of photos, crops and dropout all come from it
    config.batch_size = 16  # over all devices and hosts together
    config.total_steps = 1_000
    config.chroma_alarm = 500  # steps of predicting near grey before a warning; 0: never
    config.log_every = 50  # steps between lines in metrics.jsonl and TensorBoard
    config.eval_every = 500  # steps between evaluations; 0: only at the end
    config.checkpoint_every = 500  # steps between saved states; the last is always saved
    config.dtype = "float32"  # of the network's body: float32 | bfloat16
    # Layers whose outputs are kept for the backward pass, the others are computed again; "none":
    # keep no layer's; empty: keep everything.
    config.remat = ()
    config.init_encoder = ""  # start the network's encoder from published weights: imagenet
    # Photos on whose gray the encoder's BatchNorm statistics are measured anew; 0: the published
    # ones, which are better (docs/weights.md).
    config.init_encoder_photos = 0
    config.init_from = ""  # start from the weights of this workdir, or from ones that ship
    # A new workdir goes on from the newest whole checkpoint of this one, or from that of a step,
    # WORKDIR@STEP: weights, optimizer, average and step (docs/devices.md).
    config.fork_from = ""
    config.train_only = "all"  # layers that learn: all | head | added (model.add_layer) | guide
    config.progress = True  # a progress bar where there is a terminal

    config.parallel = ConfigDict()
    config.parallel.fsdp = 1  # devices that share one copy of weights and optimizer state
    config.parallel.rules = ()  # (pattern, "widest" | "whole"), before parallel/mesh.py's
    config.parallel.accumulate = 1  # parts of a batch, one after the other, before an update

    data = config.data = ConfigDict()
    data.name = "folder"  # folder | tfds:NAME | array_record | cifar10 | sample_photos
    data.path = ""  # the folder, the shards, TFDS's data_dir, or where CIFAR-10's files are
    data.verify = True  # cifar10: compare its files with their published md5 sums
    data.split = "train"  # tfds, cifar10: a slice such as train[:200000]
    data.eval_path = ""  # photos to report on; empty: eval_fraction of data.path
    data.eval_split = ""  # tfds, cifar10: a slice to report on; empty: eval_fraction of data.split
    data.eval_fraction = 0.1  # held out to report on, by a hash of each photo's name
    data.validation_fraction = 0.05  # held out of training to choose by (early_stopping)
    data.validation = "hash"  # how those are drawn: hash | random | hue (every k-th by mean hue)
    data.split_seed = 24  # of random; the original's
    data.hue_mean = "arithmetic"  # of hue: arithmetic, the original's | circular
    data.drop_lowest_hue = 0  # of hue: leave this many of the lowest out; the original's: 582
    data.parts = ""  # a JSON file {"train": [NAME, ...], "validation": ..., "eval": ...} says who
    data.labels = "folder"  # folder | path | none | a file of lines "PHOTO LABEL"
    data.classes = ()  # keep only photos with these labels; empty: all
    data.limit = 0  # train on this many photos; 0: all
    data.eval_limit = 0  # report on this many photos; 0: all
    data.image_size = 64  # pixels, square; also the size of evaluation
    data.crop_scale = (0.5, 1.0)  # random resized crop: share of the photo's area
    data.crop_ratio = (0.75, 4 / 3)  # and its width / height
    data.flip = True  # mirror half of the photos
    data.drop_grey = False  # leave exactly grey photos (R = G = B everywhere) out of training
    data.min_chroma = 0.0  # and those whose mean chroma, in Lab units, is below this
    data.low_chroma_rate = 0.0  # but keep this share of the latter, chosen by hash
    # (source, times that each of its photos is seen in a pass); a source is the first folder of a
    # photo's name, and the others have weight 1.
    data.weights = ()
    data.grey = "lightness"  # what the network sees: lightness (L) | luma | mean (of R, G, B)
    # Share of the training photos whose gray input looks like an old photograph; the target stays.
    data.aged = 0.0
    data.canny_scale = 1.0  # Canny's edges are those of L / 100 times this; 100: the original's
    data.canny_sigma = 1.0  # pixels of its Gaussian
    data.canny_thresholds = (0.1, 0.2)  # low and high, of its hysteresis
    data.saturation = 1.0  # the factor T of saturation-scaled targets; 1: true colours
    data.saturation_clip = True  # keep the scaled saturation within [0, 1]
    data.targets = "host"  # where Lab is computed: host (grain pipeline) | device (inside jit)
    data.hints = False  # simulate a user's colour hints, for networks with an input for them
    data.hint_stop = 1 / 8  # p of the geometric number of hints: 7 on average
    data.hint_sides = (1, 9)  # pixels
    data.global_hints = 0.0  # share of photos whose colors are given, to networks that take them
    data.num_workers = 0  # processes that decode photos; 0: threads of this process

    config.model = ConfigDict({"name": ""})
    config.loss = ConfigDict()
    # mse | l1 | smooth_l1 | mse_and_class | class_cross_entropy | ce | rebalanced_ce |
    # smooth_l1_and_grid | smooth_l1_and_bins | hinted_l1 | feature | adversarial
    config.loss.name = "mse"
    # Of smooth_l1 and smooth_l1_and_*: where the square ends; 1 / 110 is one ab unit.
    config.loss.delta = 1 / 110
    config.loss.prior = ""  # of rebalanced_ce: file of `colorjax prior`; empty: Tiny ImageNet's
    config.loss.lam = 0.5  # and its lambda: share of the uniform distribution; 1: no rebalancing
    config.loss.soft_k = 5  # bins of the soft encoding, of ce and rebalanced_ce
    config.loss.soft_sigma = 5.0  # and its width in ab units
    config.loss.alpha = 1 / 300  # of the cross-entropy of labels in mse_and_class; 0: no classifier
    config.loss.reduction = "mean"  # of its colour term over pixels: mean | sum
    config.loss.compare_at = "full"  # size at which it compares: full | half, where networks end
    config.loss.class_weight = 1.0  # of the cross-entropy in smooth_l1_and_*
    config.loss.gan = "bce"  # of adversarial: bce | hinge
    config.loss.true_target = 1.0  # of its critic on true colours; 0.9: one-sided smoothing
    config.loss.fooling_target = 1.0  # and of the colorizer on its own
    config.loss.adversarial_weight = 1.0
    config.loss.l1_weight = 100.0  # of adversarial, feature and smooth_l1_and_bins
    config.loss.cosine_weight = 0.0  # of the cosine between whole photos, in adversarial
    config.loss.feature_weight = 1.0  # of adversarial, feature and smooth_l1_and_bins
    config.loss.tap_weights = ()  # of each layer compared; empty: those of the feature network

    optimizer = config.optimizer = ConfigDict()
    optimizer.name = "adam"  # adam | adamw | adadelta | sgd | rmsprop
    optimizer.learning_rate = 1e-3
    # constant | cosine | linear | steps | exponential | plateau | wsd, after the warm-up
    optimizer.schedule = "constant"
    optimizer.warmup_steps = 0
    # Of wsd: the last steps of total_steps, in which the rate falls to 0 as 1 - sqrt of the share
    # done (10 to 20 % of the steps); 0: it never falls.
    optimizer.cooldown_steps = 0
    optimizer.boundaries = ()  # of steps: where the learning rate is multiplied by decay_factor
    optimizer.decay_factor = 0.1
    optimizer.decay_steps = 1_000  # of exponential: rate x decay_factor ^ (step / decay_steps)
    optimizer.lowest_rate = 0.0  # and where it ends
    optimizer.plateau_window = 1_000  # of plateau: steps over which the training loss is averaged
    optimizer.plateau_patience = 10  # windows without a better loss before the rate falls
    optimizer.rho = 0.9  # of adadelta: decay of its two averages
    optimizer.b1 = 0.9  # momentum, for sgd and rmsprop too
    optimizer.b2 = 0.999  # decay of squared gradients
    optimizer.weight_decay = 0.0  # decoupled, on kernels only
    optimizer.clip_norm = 0.0  # clip gradients to this global norm; 0: off
    # Average weights over steps and use the average, with BatchNorm's running statistics of the
    # trained network; 0: off.
    optimizer.ema_decay = 0.0

    # What judges the colours: a critic, for the loss adversarial, and a network that compares
    # pictures layer by layer, where loss.feature_weight is not 0.
    config.critic = ConfigDict({"name": "patch", "width": 1.0})  # patch | dcgan | nogan
    config.critic_optimizer = optimizer.copy_and_resolve_references()
    optimizer.encoder_factor = 1.0  # factor on the learning rate of a pretrained encoder
    config.turns = ConfigDict()
    config.turns.kind = "ratio"  # ratio (on every batch) | passes (over the photos) | switch
    config.turns.critic_steps = 1  # of ratio and passes
    config.turns.generator_steps = 1
    config.turns.threshold = 0.65  # of switch: the critic's loss below which the colorizer learns
    features = config.features = ConfigDict()
    # classifier: trained first, on the same photos | vgg16_bn | lite0: of colorjax[encoders]
    features.name = "classifier"
    features.path = ""  # of vgg16_bn: torchvision's file, vgg16_bn-6c64b313.pth
    features.width = 0.5  # of classifier: factor on its channels
    features.num_classes = -1  # as many as the data has
    features.share = 0.1  # of total_steps, in which it is trained
    features.learning_rate = 1e-3
    nogan = config.nogan = ConfigDict()
    nogan.shares = ()  # of the rest: pre-training, critic's pre-training, GAN; empty: no NoGAN
    nogan.generated = 0.1  # share of the training photos whose colours the critic trains on
    nogan.critic_learning_rate = 1e-3  # of its pre-training
    nogan.learning_rate = 1e-4  # of the colorizer in the GAN phase
    nogan.critic_factor = 5.0  # times that, of the critic
    nogan.save_every = 10  # steps of the GAN phase between the states to pick from
    nogan.pick = "auto"  # auto, or the step of one of them
    nogan.max_rise = 0.05  # of auto: by how much the feature loss may rise, as a share
    nogan.max_drift = 2.0  # and by how many units the mean a or b may move, away from the truth's

    stopping = config.early_stopping = ConfigDict()
    stopping.metric = ""  # of the validation photos, e.g. mae_ab; empty: no best checkpoint
    stopping.patience = 0  # evaluations without improvement that end the run; 0: never

    config.evaluation = ConfigDict()
    config.evaluation.batch_size = 64
    config.evaluation.baseline_photos = 10_000  # training photos behind the trivial predictors
    config.evaluation.prior = ""  # of auc_rebalanced; as loss.prior, but the same for all methods
    config.evaluation.hint_counts = ()  # psnr_hints_N for each N up to 100: input or spread
    config.evaluation.hue_bins = 0  # errors by the photos' mean hue (data.hue_mean); 0: none
    config.evaluation.report = True  # False: the photos to report on stay unseen; of trials
    config.evaluation.grid_photos = 8  # rows of the picture grey | prediction | truth

    config.inference = ConfigDict()
    # Whose lightness a picture has, where a network predicts it too: photo | predicted
    config.inference.lightness = "photo"
    config.inference.size = 0  # short side at which chroma is predicted; 0: data.image_size
    config.inference.saturation = 1.0  # factor on the predicted ab; `colorjax calibrate` stores it
    # What ab is taken from: ab | annealed (the bins, at model.temperature) | blend (their mean).
    config.inference.decode = "ab"
    return config


def debug_schedule(config: ConfigDict) -> None:
    """Makes a config run for a few steps, logging all of them: the argument `debug`."""
    config.total_steps = 6
    config.log_every = 1
    config.eval_every = 3
    config.checkpoint_every = 3
    config.optimizer.warmup_steps = 0
    config.evaluation.baseline_photos = 16


def adamw_cosine(optimizer: ConfigDict) -> None:
    """Takes AdamW with a cosine decay, for networks with BatchNorm: the most of a short run."""
    optimizer.name = "adamw"
    optimizer.learning_rate = 1e-3
    optimizer.schedule = "cosine"
    optimizer.warmup_steps = 200
    optimizer.weight_decay = 1e-4
    optimizer.clip_norm = 1.0


def plain_optimizer(optimizer: ConfigDict, name: str, learning_rate: float) -> None:
    """Takes an optimizer without schedule, decay and clipping, as the older papers do."""
    optimizer.name = name
    optimizer.learning_rate = learning_rate
    optimizer.schedule = "constant"
    optimizer.warmup_steps = 0
    optimizer.weight_decay = 0.0
    optimizer.clip_norm = 0.0


def parse_arg(arg: str, **defaults) -> ConfigDict:
    """Reads `key=value,flag` after the colon of `--config=FILE.py:...`.

    Args:
        arg: the text, e.g. "size=32,debug".
        **defaults: every key that is known, with its default; its type converts the value, and a
            bare `key` turns a boolean on.

    Returns:
        The defaults with the given values in place.

    Raises:
        ValueError: unknown key, or a value that the default's type does not take.
    """
    values = ConfigDict(defaults)
    for item in filter(None, arg.split(",")):
        key, has_value, text = item.partition("=")
        if key not in defaults:
            raise ValueError(f"unknown config argument {key!r}; known: {', '.join(defaults)}")
        kind = type(defaults[key])
        if kind is bool:
            if text.lower() not in ("", "true", "false"):
                raise ValueError(f"config argument {key} is true or false, not {text!r}")
            values[key] = text.lower() != "false"
        elif not has_value:
            raise ValueError(f"config argument {key} needs a value: {key}=...")
        else:
            try:
                values[key] = kind(text)
            except ValueError:
                raise ValueError(
                    f"config argument {key} wants {kind.__name__}, not {text!r}"
                ) from None
    return values
