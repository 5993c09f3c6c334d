"""Networks that judge pictures: critics, VGG, AlexNet, Inception, small classifiers."""
