"""The switch's control plane: one process beside one Asterisk, one linear script per call."""
