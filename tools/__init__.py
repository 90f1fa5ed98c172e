"""Write and check what is derived, and show the connector at work; not part of the connector."""
