"""The press of the book: executes chapters, renders pages, records benchmarks, prints the ledger."""
