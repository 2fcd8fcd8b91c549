"""The words, messages, bucket objects and limits that agent and controller share. Pure."""
