"""What several benchmarks use: leads to measure on, and models to compare."""
