"""``python -m acelib.lab.vae`` trains the conditional β-VAEs on MNIST and writes their checkpoints."""

import sys

from .training import main

if __name__ == "__main__":
    sys.exit(main())
