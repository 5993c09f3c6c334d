"""A plain CNN with L2 loss at 32, 64 or 128 px (a UCSC course project; docs/papers.md).

    python -m colorjax.main --config=configs/plain_cnn.py --config.data.path=PHOTOS
    python -m colorjax.main --config=configs/plain_cnn.py:variant=dense --config.data.path=PHOTOS

Arguments after the colon: `size` (px), `batch`, `variant` (cnn | dense), `demo` (about a minute
on scikit-image's sample photos), `debug` (a few steps).

Two CPU cores train 17 images per second at 64 px (2026-11-21). After 38,400 crops of 7,586 Tiny
ImageNet photos, expect an MAE of ab of 9.71 and a PSNR of mean MSE of 20.89 dB; gray gives 10.69
and 19.89. The command is in docs/results.md.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config of the plain CNN; see the file's docstring for `arg`."""
    args = default.parse_arg(arg, size=64, batch=16, variant="cnn", demo=False, debug=False)
    config = default.get_config()
    # The report prefers a batch of 10 over 20; 16 is the nearest that 2, 4 or 8 devices can share.
    config.batch_size = args.batch
    config.total_steps = 30_000
    config.eval_every = 1_000
    config.checkpoint_every = 500
    config.data.image_size = 128 if args.variant == "dense" else args.size

    config.model = ConfigDict({"name": "plain_cnn", "variant": args.variant})
    config.model.add_layer = False  # before the last layer, for fine-tuning (train_only=added)
    if args.variant == "cnn":
        # Network hyperparameters of the report, at their best values, and its widths.
        config.model.kernel_size = 3
        config.model.dropout = 0.4
        config.model.strides = (1, 2, 2, 1, 1, 1)
        config.model.dilation = 1
        config.model.filters = (64, 128, 128, 256, 256, 256, 128)

    config.loss.name = "mse"  # ||prediction - label||^2 on ab / 110
    config.optimizer.learning_rate = 1e-3  # Adam; the originals: RMSprop 1e-3, SGD 0.01
    # It overfits quickly, as the original's README says: stop early, keep the best.
    config.early_stopping.metric = "mae_ab"
    config.early_stopping.patience = 10

    if args.demo:
        config.data.name = "sample_photos"
        config.data.crop_scale = (0.05, 0.5)
        config.total_steps = 200
        config.eval_every = 100
        config.optimizer.schedule = "cosine"
        config.early_stopping.patience = 0
        if args.variant == "cnn":
            config.model.filters = (32, 64, 64, 128, 128, 128, 64)  # half the width, 4 times faster
    if args.debug:
        default.debug_schedule(config)
    return config
