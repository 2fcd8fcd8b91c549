"""What touches the node: processes, folders, logs, notices, power, and the wire to the controller."""
