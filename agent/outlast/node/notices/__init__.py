"""Where each cloud announces that it will take the machine."""
