"""The connector: manifest.yaml, executed by the CDK, and what YAML cannot say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airbyte_cdk.models import AirbyteConnectionStatus, FailureType, Status, SyncMode
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.utils import AirbyteTracedException

from source_confluence import space_groups

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping

    from airbyte_cdk.models import (
        AirbyteCatalog,
        AirbyteMessage,
        AirbyteStateMessage,
        ConfiguredAirbyteCatalog,
    )

MANIFEST = Path(__file__).with_name("manifest.yaml")
space_groups.install()
INDEX_STREAMS = {"page_index", "blog_post_index"}


class SourceConfluence(YamlDeclarativeSource):
    """Read Confluence Cloud as manifest.yaml declares it.

    Args:
        catalog: The streams to read; needed for `read` alone.
        config: The connection's configuration, as the manifest's spec describes it.
        state: What the last read of the same streams left behind.
        config_path: The file that a migrated configuration is written back to.
    """

    def __init__(
        self,
        catalog: ConfiguredAirbyteCatalog | None = None,
        config: Mapping[str, Any] | None = None,
        state: list[AirbyteStateMessage] | None = None,
        config_path: str | None = None,
    ) -> None:
        # The index streams are read whole, also by who hands back their state: see discover.
        state = [
            s for s in state or [] if not s.stream or s.stream.stream_descriptor.name not in INDEX_STREAMS
        ]
        super().__init__(str(MANIFEST), catalog=catalog, config=config, state=state, config_path=config_path)
        self._given_config, self._given_catalog = config, catalog

    def configure(self, config: Mapping[str, Any], temp_dir: str) -> Mapping[str, Any]:
        """Take the configuration, also where the source was made without one.

        The CDK builds everything from the configuration that the constructor got; its own test suites
        and libraries construct a source bare and hand the configuration over here.
        """
        if self._given_config is None:
            SourceConfluence.__init__(self, config=config)
        return super().configure(config, temp_dir)

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Check the connection, and that every space named in the configuration is there."""
        status = super().check(logger, config)
        missing = self._unknown_space_keys() if status.status == Status.SUCCEEDED else []
        if missing:
            message = (
                f"No space that this account can see has the key {', '.join(missing)}. Correct space_keys "
                "and exclude_space_keys (a key stands in the address of its space: /wiki/spaces/KEY), or "
                "give the account access to the space."
            )
            return AirbyteConnectionStatus(status=Status.FAILED, message=message)
        return status

    def discover(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteCatalog:
        """List the streams.

        The index streams have a cursor for their children's sake. For readers they are full or wrong: what
        was trashed or purged does not move a cursor.
        """
        catalog = super().discover(logger, config)
        for stream in catalog.streams:
            if stream.name in INDEX_STREAMS:
                stream.supported_sync_modes = [SyncMode.full_refresh]
                stream.source_defined_cursor, stream.default_cursor_field = None, None
        return catalog

    def read(
        self,
        logger: logging.Logger,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: list[AirbyteStateMessage] | None = None,
    ) -> Iterator[AirbyteMessage]:
        """Read the streams of the catalog.

        Raises:
            AirbyteTracedException: Some streams failed, or the catalog names one that does not exist; the
                others have been read all the same.
        """
        if self._given_catalog != catalog:
            SourceConfluence.__init__(self, catalog, config, state)
        yield from super().read(logger, config, catalog, state)
        known = {stream["name"] for stream in self._stream_configs(self._source_config)}
        unknown = [s.stream.name for s in catalog.streams if s.stream.name not in known]
        if unknown:
            # The CDK passes over them in silence.
            raise AirbyteTracedException(
                message=f"The catalog names streams that this connector does not have: {', '.join(unknown)}. "
                "Refresh the schema of the connection, or take them out of the catalog. "
                "All other streams were read.",
                failure_type=FailureType.config_error,
            )

    def _unknown_space_keys(self) -> list[str]:
        """Return those of the configured space keys that Confluence does not list."""
        wanted = [*self._config.get("space_keys", []), *self._config.get("exclude_space_keys", [])]
        if not wanted:
            return []
        named = {**self._config, "space_keys": wanted, "exclude_space_keys": []}
        (space,) = (s for s in SourceConfluence(config=named).streams(named) if s.name == "space")
        found = {record.data["key"] for part in space.generate_partitions() for record in part.read()}
        return [key for key in wanted if key not in found]
