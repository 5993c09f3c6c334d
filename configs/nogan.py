"""NoGAN (Antic, DeOldify, 2019) on small photos with a U-Net (docs/papers.md).

    python -m colorjax.main --config=configs/nogan.py --config.data.name=cifar10 \
        --config.data.path=DIR --config.data.eval_split=test
    python -m colorjax.main --config=configs/nogan.py:size=64 --config.data.path=PHOTOS

One command runs all phases and resumes in the phase where it was stopped:

1. features: a small classifier learns the photos' labels (not with features.name=vgg16_bn);
2. pretrain: the colorizer trains with L1 and feature loss, on that classifier's features;
3. critic: the critic learns to distinguish colorized training photos from true ones;
4. gan: both train alternately for a short time; a candidate is saved every few steps.

Then one candidate is picked (pick.json; TensorBoard: validation/...). To override the pick, run the
same command with --config.nogan.pick=STEP.

Arguments after the colon: `size`, `batch`, `width` (of all networks), `debug`.
"""

from ml_collections import ConfigDict

from configs import default, unet


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of NoGAN; see the file's docstring for `arg`."""
    args = default.parse_arg(arg, size=32, batch=128, width=1.0, debug=False)
    config = default.get_config()
    config.batch_size = args.batch
    config.total_steps = 12_000
    config.log_every = 10  # the last phase is short
    config.eval_every = 3_000
    config.checkpoint_every = 500
    unet.take_small_photos(config, args.size)
    config.data.validation_fraction = 0.02  # small: evaluated every nogan.save_every steps
    config.model = unet.unet_model(args.width)
    config.critic = ConfigDict({"name": "nogan", "width": args.width})
    # 256 and 3 in the original, which needs at least 64 px.
    config.critic.channels = 64
    config.critic.blocks = 2
    config.features.width = 0.5 * args.width

    config.loss.name = "adversarial"
    config.loss.adversarial_weight = 1.0
    config.loss.l1_weight = 15.0
    config.loss.feature_weight = 0.5
    config.optimizer.name = "adamw"
    config.optimizer.weight_decay = 1e-3
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    config.nogan.shares = (0.75, 0.15, 0.1)
    if args.debug:
        default.debug_schedule(config)
        config.nogan.save_every = 1
    return config
