"""One folder a cloud; SDK errors never leave it."""
