"""The connector: manifest.yaml, executed by the CDK, and what YAML cannot say."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airbyte_cdk.models import AirbyteConnectionStatus, FailureType, Status, SyncMode
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_confluence import (
    fast_records,
    future_dates,
    loop_guard,
    patience,
    smaller_pages,
    space_groups,
    strict_answers,
    tokens,
    whole_answers,
    whole_records,
)
from source_confluence.messages import LACKS_SCOPE, Failures, explain, reason, scopes
from source_confluence.pace import Pace

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping

    from airbyte_cdk.models import (
        AirbyteCatalog,
        AirbyteMessage,
        AirbyteStateMessage,
        ConfiguredAirbyteCatalog,
    )
    from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

MANIFEST = Path(__file__).with_name("manifest.yaml")
fast_records.install()
future_dates.install()
loop_guard.install()
patience.install()
smaller_pages.install()
space_groups.install()
strict_answers.install()
tokens.install()
whole_answers.install()
whole_records.install()
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
        self._constructor._api_budget = Pace()  # type: ignore[assignment]  # noqa: SLF001 - the CDK asks no more of it, and offers no way to give it
        self._given_config, self._given_catalog = config, catalog

    def _validate_source(self) -> None:
        """Hold no manifest against the CDK's schema that does not change: whatever else runs it does."""

    def configure(self, config: Mapping[str, Any], temp_dir: str) -> Mapping[str, Any]:
        """Take the configuration, also where the source was made without one.

        The CDK builds everything from the configuration that the constructor got; its own test suites
        and libraries construct a source bare and hand the configuration over here.
        """
        if self._given_config is None:
            SourceConfluence.__init__(self, config=config)
        return super().configure(config, temp_dir)

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Check that spaces can be read and those named are there, and say which streams cannot be read.

        Streams that this credential cannot read do not fail the connection: they can be deselected.
        """
        # A person waits: what a sync would repeat for minutes is reported at once. Not by the manifest's
        # `config_overrides`, which the CDK refuses beside a refresh token that is kept.
        self._constructor._disable_retries = True  # noqa: SLF001
        status = super().check(logger, config)
        if "does not accept the access token" in str(status.message):
            status = super().check(logger, config)  # the first attempt asked for a new one
        if status.status != Status.SUCCEEDED:
            status.message = explain("space", str(status.message).strip("'\"").replace("\\'", "'"))
        elif missing := self._unknown_space_keys():
            status.status = Status.FAILED
            status.message = (
                f"No space that this account can see has the key {', '.join(missing)}. Correct space_keys "
                "and exclude_space_keys (a key stands in the address of its space: /wiki/spaces/KEY), or "
                "give the account access to the space."
            )
        elif unreadable := self._unreadable_streams():
            status.message = "The connection works, but not for these streams: " + " ".join(
                f"{', '.join(names)}: {why}" for why, names in unreadable.items()
            )
        if status.message:
            status.message = filter_secrets(status.message)
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
        logger: logging.Logger,  # noqa: ARG002 - what the CDK calls it with
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
        failures = Failures()
        selected = [configured.stream.name for configured in catalog.streams]
        declared = {stream["name"]: stream for stream in self._stream_configs(self._source_config)}
        chosen = [declared[name] for name in selected if name in declared]
        try:
            streams = self._built(chosen, catalog)
            for message in self._concurrent_source.read(streams) if streams else ():
                if not message.trace or not message.trace.error or failures.is_new(message.trace.error):
                    yield message
        except AirbyteTracedException as combined:
            if not failures:
                raise
            failures.cause = combined.internal_message or ""
        except Exception as error:
            self._blame_state(error, chosen, state or [])
            raise
        for name in selected:
            if name not in declared:
                sentence = "The connector has no such stream. Refresh the schema of the connection."
                failures.add(name, sentence, FailureType.config_error)
        if failures:
            raise failures.as_exception()

    def _blame_state(
        self, error: Exception, chosen: list[dict[str, Any]], state: list[AirbyteStateMessage]
    ) -> None:
        """Say which streams have a state that is none, where that is why the CDK stumbled.

        Raises:
            AirbyteTracedException: Some have.
        """
        given = {s.stream.stream_descriptor.name for s in state if s.stream}
        # A date at the end of all dates overflows when its group is reached, not when the stream is built.
        is_late = isinstance(error, OverflowError)
        foreign = [s["name"] for s in chosen if s["name"] in given and (is_late or not self._can_be_built(s))]
        if foreign:
            sentence = (
                f"The state of {', '.join(foreign)} is none that this connector wrote, so the read cannot go "
                "on from there. Hand in the state of the last sync as it was, or reset these streams."
            )
            raise AirbyteTracedException(
                message=sentence, internal_message=str(error), failure_type=FailureType.config_error
            ) from error

    def _can_be_built(self, stream: dict[str, Any]) -> bool:
        try:
            self._create_streams([stream], [stream])
        except Exception:  # noqa: BLE001 - whatever the CDK stumbles over
            return False
        return True

    def _built(self, chosen: list[dict[str, Any]], catalog: ConfiguredAirbyteCatalog) -> list[AbstractStream]:
        """Build the selected streams.

        For a read the CDK builds all, and keeps on disk what is the parent of any. To be deleted when it
        builds those of the catalog.
        """
        self._prepare_for_stream_build()
        return self._select_streams(self._create_streams(chosen, chosen), catalog)

    def _probe(self, **changes: Any) -> SourceConfluence:
        """Return a source with some values of the configuration changed, which does not repeat requests."""
        config = {**self._config, **changes}
        if "refresh_token" in (config.get("credentials") or {}):
            # It must not renew the token: the platform would be told to keep the changed configuration.
            never = {"refresh_token": "", "token_expiry_date": "2999-01-01T00:00:00Z"}
            config["credentials"] = {**config["credentials"], **never}
        source = SourceConfluence(config=config)
        source._constructor._disable_retries = True  # noqa: SLF001 - as in check
        return source

    def _unknown_space_keys(self) -> list[str]:
        """Return those of the configured space keys that Confluence does not list."""
        wanted = [*self._config.get("space_keys", []), *self._config.get("exclude_space_keys", [])]
        if not wanted:
            return []
        probe = self._probe(space_keys=wanted, exclude_space_keys=[])
        (space,) = (stream for stream in probe.streams(probe._config) if stream.name == "space")  # noqa: SLF001 - our own
        found = {record.data["key"] for part in space.generate_partitions() for record in part.read()}
        return [key for key in wanted if key not in found]

    def _unreadable_streams(self) -> dict[str, list[str]]:
        """Ask for the first record of every stream; return the names of those refused by reason."""
        probe = self._probe(page_size=1)
        streams = probe.streams(probe._config)  # noqa: SLF001 - our own
        with ThreadPoolExecutor(max_workers=8) as pool:
            reasons = list(pool.map(refusal, streams))
        unreadable: dict[str, list[str]] = {}
        for stream, why in zip(streams, reasons, strict=True):
            if why:
                lacks = f" ({scopes(stream.name)})" if LACKS_SCOPE in why else ""
                unreadable.setdefault(why, []).append(f"{stream.name}{lacks}")
        return unreadable


def refusal(stream: AbstractStream) -> str | None:
    """Return why Confluence refuses a stream, None when it does not."""
    try:
        for partition in itertools.islice(stream.generate_partitions(), 1):
            for _ in itertools.islice(partition.read(), 1):
                pass
    except AirbyteTracedException as error:
        if error.failure_type == FailureType.config_error:
            return reason(str(error))
    return None
