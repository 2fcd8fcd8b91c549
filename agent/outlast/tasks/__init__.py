"""The agent's background tasks: each owns one thing, takes orders from a mailbox and posts news."""
