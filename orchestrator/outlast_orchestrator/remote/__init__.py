"""What is put on a node from outside: the dead-man switch, the agent and its start."""
