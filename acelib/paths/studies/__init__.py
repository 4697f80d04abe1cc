"""Studies of explanatory graphs: fidelity, repair and reliability, by masking nodes and weakening weights."""
