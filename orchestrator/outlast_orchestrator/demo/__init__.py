"""`outlast demo`: a real training whose machines are taken away, and the proof that nothing was lost."""
