"""Where photos come from: folders, shards, CIFAR-10, TFDS, archives."""
