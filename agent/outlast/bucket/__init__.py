"""The bucket as the agent and the controller use it: clients, pointer, manifests, status."""
