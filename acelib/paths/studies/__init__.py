"""Studies of explanatory graphs: fidelity, reliability and repair by masking."""
