"""Chapter 10: networks, rival explanations and their metrics."""
