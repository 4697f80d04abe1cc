"""The judges of each chapter's exercises, one module per chapter."""
