"""Networks that evaluate pictures: critics, VGG, AlexNet, Inception, small classifiers."""
