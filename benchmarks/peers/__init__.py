"""What else reads Confluence: a script for each, run in its own environment, and what pins its versions.

Each script takes a job (see `benchmarks.readers.Job`) as a JSON text, and prints the number of pages it read.
"""
