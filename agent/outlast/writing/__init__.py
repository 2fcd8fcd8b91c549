"""Saves of `Checkpointer` outside of the trainer's process: shared memory, and the process that writes it."""
