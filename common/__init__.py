"""What tests, tools and benchmarks share: the streams of the manifest, and the connector run as users do."""
