"""From a checkpoint in the trainer's folder to verified objects in the bucket."""
