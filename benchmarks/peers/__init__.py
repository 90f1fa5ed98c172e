"""Other programs that read Confluence: scripts that run in their own environments, and their pinned versions.

Each script gets a job (see `benchmarks.readers.Job`) as JSON text, and prints the number of pages that it read.
"""
