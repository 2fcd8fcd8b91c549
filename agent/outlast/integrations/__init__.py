"""What ties the agent's contract to particular training libraries."""
