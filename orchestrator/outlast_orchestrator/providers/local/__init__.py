"""The local cloud: spot machines that are sessions of processes on this computer, and their provider."""
