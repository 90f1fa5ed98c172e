"""Modules that tests, tools and benchmarks share: the streams of the manifest, and runs of the connector."""
