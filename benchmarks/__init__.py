"""Benchmarks of the connector on embedded sites."""
