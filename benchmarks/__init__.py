"""Measurements of the connector against embedded sites."""
