"""A small model of the protocol, all interleavings: the real code of the pointer, run step by step."""
