"""What is done beside training, one thing a file: metrics, checkpoints, measurements, progress."""
