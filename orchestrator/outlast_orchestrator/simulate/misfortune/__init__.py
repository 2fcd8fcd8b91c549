"""The bad luck of the world, one file a place where it strikes."""
