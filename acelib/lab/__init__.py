"""What the chapters need and the method does not: data sets, networks, training, the ledger, the player, the runner."""
