"""Films: reading, temporally smoothed colorization, writing with sound."""
