"""Outlast on the node: the agent, and what a training loop may import."""

__version__ = "0.1.0"
