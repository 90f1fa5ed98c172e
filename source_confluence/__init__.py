"""Airbyte source connector for Confluence Cloud."""

from source_confluence.source import SourceConfluence

__all__ = ["SourceConfluence"]
