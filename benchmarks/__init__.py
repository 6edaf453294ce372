"""Speed of the explorers, beside peers; run by `make bench`."""
