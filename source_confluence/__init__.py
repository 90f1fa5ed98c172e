"""Airbyte source connector for Confluence Cloud."""

from source_confluence import quick_start  # first: what follows imports the CDK
from source_confluence.source import SourceConfluence

__all__ = ["SourceConfluence", "quick_start"]
