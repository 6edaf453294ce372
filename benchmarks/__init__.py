"""Speed beside peers (`python -m benchmarks`), and the long runs that pages quote."""
