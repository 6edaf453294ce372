"""The parts of `python -m benchmarks`; the `rows` of each measures one part of the table."""
