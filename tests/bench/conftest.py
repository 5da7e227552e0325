"""Keeps the harness's own tests out of `make test`, whose venv has no peers: `make bench` runs them, without this file."""

collect_ignore = ["test_bench.py"]
