"""`agent run`: the agent without a controller, on any machine, for one command."""
