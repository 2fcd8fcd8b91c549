"""The controller's shells around the pure core: observe the world, decide, act."""
