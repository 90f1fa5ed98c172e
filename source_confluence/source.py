"""The connector: manifest.yaml, executed by the CDK with our components."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteStateMessage,
    AirbyteStateMessageSerializer,
    AirbyteStreamStatus,
    ConfiguredAirbyteCatalog,
    FailureType,
    Status,
)
from airbyte_cdk.sources.declarative.models.declarative_component_schema import DeclarativeStream
from airbyte_cdk.sources.declarative.parsers.manifest_component_transformer import (
    ManifestComponentTransformer,
)
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.utils import AirbyteTracedException

from source_confluence import check
from source_confluence.components.api_budget import AdaptiveAPIBudget
from source_confluence.components.factory import ComponentFactory
from source_confluence.config import read_json
from source_confluence.messages import ACCESS, Failures, SaidError, error

MANIFEST = Path(__file__).with_name("manifest.yaml")
LOGGER = logging.getLogger("airbyte")
SPACES = ["space"]  # what a check reads first
QUEUED_MESSAGES = 1_000  # the CDK queues 10,000, of whatever size


class SourceConfluence(YamlDeclarativeSource):
    """Read Confluence Cloud as manifest.yaml declares it.

    Args:
        catalog: The streams to read; only `read` needs it.
        config: The configuration of the connection, as the manifest's spec describes it.
        state: The state of the last read.
        config_path: The file to which renewed tokens are written back.
        names: The streams to build instead of those of the catalog, for a check. Then responses are cached and
            nothing is retried: a person waits for the check.
    """

    def __init__(
        self,
        catalog: ConfiguredAirbyteCatalog | None = None,
        config: Mapping[str, Any] | None = None,
        state: list[AirbyteStateMessage] | None = None,
        config_path: str | None = None,
        *,
        names: list[str] | None = None,
    ) -> None:
        chosen = [c.stream.name for c in catalog.streams] if catalog else list(ACCESS)
        self._catalog, self._selected = catalog, chosen if names is None else names
        self._file = config_path
        super().__init__(str(MANIFEST), catalog=catalog, config=config, state=state, config_path=config_path)
        checks = names is not None
        self._constructor: ComponentFactory = ComponentFactory(
            api_budget=AdaptiveAPIBudget(),
            configured_catalog=catalog,
            connector_state_manager=self._connector_state_manager,
            disable_cache=not checks,
            disable_retries=checks,
            message_repository=self._message_repository,
            config=self._config,
            place=self.resolved_manifest["definitions"]["place"],
            file=config_path,
        )
        self._concurrent_source._queue.maxsize = QUEUED_MESSAGES  # noqa: SLF001 - the CDK offers no other way

    # The CDK reads files only in the encoding of the system, and without a byte order mark.
    read_config = staticmethod(read_json)  # type: ignore[assignment]  # the parameter has another name
    _read_json_file = staticmethod(read_json)  # type: ignore[assignment]

    @classmethod
    def read_state(cls, state_path: str | None) -> list[AirbyteStateMessage]:
        """Read a state from a file.

        Raises:
            ValueError: It has a message without a state.
        """
        given = read_json(state_path) if state_path else None
        states = [AirbyteStateMessageSerializer.load(each) for each in given or []]
        if not all(each.stream or each.data or each.global_ for each in states):
            raise ValueError("a message contains no state")
        return states

    def _pre_process_manifest(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Resolve only the selected streams: all of them take half a second at each start."""
        self._manifest = manifest
        parts = {key: part for key, part in manifest.items() if key not in ("definitions", "schemas")}
        parts["definitions"] = {"place": manifest["definitions"]["place"]}
        return self._resolved(self._selected, parts)

    def _resolved(self, names: Iterable[str], parts: Mapping[str, Any]) -> dict[str, Any]:
        manifest = self._manifest
        asked = ({"$ref": f"#/definitions/{name}"} for name in ("current_user", "anonymous_visitor"))
        known = [*manifest["streams"], *asked]
        streams = [s for s in known if (s.get("name") or s["$ref"].rpartition("/")[2]) in names]
        resolver, chosen = ManifestReferenceResolver(), {**parts, "streams": streams}
        resolved = resolver._evaluate_node(chosen, manifest, set())  # noqa: SLF001 - the public method resolves all
        return dict(ManifestComponentTransformer().propagate_types_and_parameters("", resolved, {}))

    def configure(self, config: Mapping[str, Any], temp_dir: str) -> Mapping[str, Any]:  # noqa: ARG002 - as inherited
        """Take the configuration where the source was built without one: the CDK's tests do that.

        The CDK would write it, with its secrets, to a file that nothing reads.
        """
        if not self._config:
            self._config = self._config_for_validation = (
                self._migrate_and_transform_config(None, config) or config
            )
        return self._config

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Check that spaces can be read and those named exist, and say which streams cannot be read.

        An expired access token is renewed by the first attempt; a check does not retry.
        """
        if self._selected != SPACES:
            return SourceConfluence(config=config, config_path=self._file, names=SPACES).check(logger, config)
        status = super().check(logger, config)
        if status.status != Status.SUCCEEDED and (config.get("credentials") or {}).get("client_id"):
            status = super().check(logger, config)
        return check.complete(status, self._config, self._build)

    def _build(self, names: Iterable[str], **config: Any) -> dict[str, AbstractStream]:
        """Build streams for a question before the read. It is about the whole site: a part can have no space."""
        asked = self._migrate_and_transform_config(None, {**self._config, "part": None, **config}) or {}
        create = self._constructor.create_component
        streams = self._resolved(names, {"type": self._manifest["type"]})["streams"]
        return {declared["name"]: create(DeclarativeStream, declared, asked) for declared in streams}

    def _before_read(self) -> None:
        """Fail when a read would find nothing, or only a part, and a destination lose its records."""
        once = [name for name in self._selected if ACCESS.get(name, {}).get("part") == "first"]
        if once and self._config["_part"] > 0:
            LOGGER.info(
                "Part %s has no records of %s: part 1 reads them.", self._config["part"], ", ".join(once)
            )
        if obstacle := check.why_nothing_can_be_read(self._config, self._build, frozenset(self._selected)):
            raise SaidError(obstacle, obstacle, FailureType.config_error)

    def read(
        self,
        logger: logging.Logger,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: list[AirbyteStateMessage] | None = None,
    ) -> Iterator[AirbyteMessage]:
        """Read the streams of the catalog; at the end name those that failed, each with a sentence.

        Raises:
            AirbyteTracedException: Some streams failed; the others have been read all the same.
        """
        if self._catalog != catalog:  # built without one
            yield from SourceConfluence(catalog, config, state, self._file).read(
                logger, config, catalog, state
            )
            return
        self._before_read()
        witness = check.witness(self._config, self._build)
        failures, cause = Failures(set(self._selected) - set(ACCESS)), ""
        doubt: AirbyteTracedException | None = None
        try:
            for message in super().read(logger, config, catalog, state):
                if failures.is_new(message):
                    if witness and counts(message) and (why := check.doubt(witness)):
                        raise (doubt := error(why))
                    yield message
        except AirbyteTracedException as combined:
            if combined is doubt or not failures:
                raise
            cause = combined.internal_message or ""
        except OverflowError as failure:  # a date in the state that is too late to count from
            named = ", ".join(sorted({s.stream.stream_descriptor.name for s in state or [] if s.stream}))
            raise error("foreign_state", failure, streams=named) from failure
        for name, count in self._constructor.skipped.items():
            text = "%s: %d parents were skipped, because Confluence returned 404 (see the log)."
            logger.info(text, name, count)
        if failures:
            raise failures.as_exception(cause)


def counts(message: AirbyteMessage) -> bool:
    """Tell whether a message says that what was read is all there is: a state, or the completion of a stream."""
    status = message.trace.stream_status if message.trace else None
    return message.state is not None or (status is not None and status.status == AirbyteStreamStatus.COMPLETE)
