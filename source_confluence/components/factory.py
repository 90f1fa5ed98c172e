"""Build the manifest's components: the CDK's, or ours where the CDK's fall short.

What the factory builds stays inside one source: no name of the CDK is replaced.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from copy import copy
from dataclasses import fields
from typing import Any

from airbyte_cdk.sources.declarative.auth import DeclarativeOauth2Authenticator
from airbyte_cdk.sources.declarative.auth.oauth import DeclarativeSingleUseRefreshTokenOauth2Authenticator
from airbyte_cdk.sources.declarative.decoders import JsonDecoder
from airbyte_cdk.sources.declarative.extractors import DpathExtractor
from airbyte_cdk.sources.declarative.models.declarative_component_schema import (
    SimpleRetriever as SimpleRetrieverModel,
)
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory
from airbyte_cdk.sources.declarative.partition_routers import (
    GroupingPartitionRouter,
    SubstreamPartitionRouter,
)
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.declarative.requesters.error_handlers.backoff_strategies import (
    WaitTimeFromHeaderBackoffStrategy,
)
from airbyte_cdk.sources.declarative.requesters.error_handlers.http_response_filter import HttpResponseFilter
from airbyte_cdk.sources.declarative.retrievers import SimpleRetriever
from airbyte_cdk.sources.declarative.retrievers.file_uploader import DefaultFileUploader
from airbyte_cdk.sources.declarative.retrievers.page_size_reducer import PageSizeReduction
from airbyte_cdk.sources.declarative.transformations import RemoveFields
from airbyte_cdk.sources.message.repository import StateFilteringMessageRepository
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ResponseAction

from source_confluence.components.authenticator import (
    WAITS,
    KeepingOauthAuthenticator,
    TimelyOauthAuthenticator,
    TimelyTokens,
)
from source_confluence.components.backoff_strategy import RetryAfterBackoffStrategy
from source_confluence.components.cursor import PartitionCursor, SpaceGroupCursor, is_grouped
from source_confluence.components.decoder import (
    OnceDecoder,
    OnceResponseFilter,
    PlainExtractor,
    PlainRemoveFields,
)
from source_confluence.components.file_uploader import StreamingFileUploader
from source_confluence.components.interpolation import lean
from source_confluence.components.partition_router import CountingRouter, EvenGroupingRouter
from source_confluence.components.requester import CarefulRequester
from source_confluence.components.retriever import WholeListRetriever
from source_confluence.components.scope import OF_THE_SITE, Scope
from source_confluence.messages import error, say


def as_a(subclass: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return what rebuilds a component of the CDK, a dataclass, as a subclass of its class."""

    def rebuild(component: Any) -> Any:
        given = {field.name: getattr(component, field.name) for field in fields(component) if field.init}
        return subclass(**given, parameters={})

    return rebuild


def as_kept(component: Any) -> KeepingOauthAuthenticator:
    """Rebuild an authenticator that does not say with which arguments it was built."""
    ours: Any = KeepingOauthAuthenticator
    rebuilt: KeepingOauthAuthenticator = ours.__new__(ours)
    vars(rebuilt).update(vars(component))
    return rebuilt


# What becomes of a component that the CDK builds, so that a read is right. The docstrings of our classes say why.
OURS: dict[type, Callable[[Any], Any]] = {
    DefaultFileUploader: as_a(StreamingFileUploader),
    DeclarativeOauth2Authenticator: as_a(TimelyOauthAuthenticator),
    DeclarativeSingleUseRefreshTokenOauth2Authenticator: as_kept,
    HttpRequester: as_a(CarefulRequester),
    HttpResponseFilter: as_a(OnceResponseFilter),
    JsonDecoder: as_a(OnceDecoder),
    SimpleRetriever: as_a(WholeListRetriever),
    SubstreamPartitionRouter: as_a(CountingRouter),
    WaitTimeFromHeaderBackoffStrategy: lambda wait: RetryAfterBackoffStrategy(
        wait.max_waiting_time_in_seconds
    ),
}
# And what only saves time. Where this is empty, cursors, groups of spaces and templates are as slow as in the CDK.
# Test: `test_streams.py`, "without what saves time".
FAST: dict[type, Callable[[Any], Any]] = {
    DpathExtractor: as_a(PlainExtractor),
    RemoveFields: as_a(PlainRemoveFields),
}
TO_SAVE_REQUESTS = 50  # groups of this size or larger; smaller ones are for concurrency
# 250, 125 … 1 in eight steps, with a pause of 2, 4 … 16 seconds before each.
SMALLER_PAGES = PageSizeReduction(
    max_attempts=8,
    backoff_seconds=2.0,
    retries_at_minimum_page_size=4,
    failure_message=say("timed_out"),
)


class ComponentFactory(ModelToComponentFactory):
    """Build the components of one source.

    Args:
        config: The configuration of the connection, which a renewed token is saved with. Streams for a question before
            the read are built with another one.
        place: The declaration of the retriever that a `Scope` asks.
        file: The file of the configuration, to which renewed tokens are written back.
    """

    def __init__(self, *, config: Any, place: Any, file: str | None, **named: Any) -> None:
        super().__init__(**named)
        self._builds_parents = False
        self._place, self._file, self._config_to_save = place, file, config
        self._built: dict[str, Any] = {}  # what there is one of, with the factories of parents
        self._cut: defaultdict[str, set[str]] = defaultdict(set)
        self.skipped: Counter[str] = Counter()

    def _create_component_from_model(self, model: Any, config: Any, **named: Any) -> Any:
        is_of_the_site = isinstance(model, SimpleRetrieverModel) and OF_THE_SITE in str(model.requester.url)  # type: ignore[union-attr]  # no other kind in the manifest
        if is_of_the_site:
            url = model.requester.url.replace(OF_THE_SITE, "_v2")
            model = model.copy(update={"requester": model.requester.copy(update={"url": url})})
        component = super()._create_component_from_model(model, config, **named)
        kind = type(component)
        component = OURS.get(kind, FAST.get(kind, lambda it: it))(component)
        if FAST and hasattr(component, "__dict__"):
            component = lean(component)
        if is_of_the_site and config["_limited"] and not self._disable_retries:  # a check delivers no records
            component.scope = self._scope(config)
        if isinstance(component, TimelyTokens):
            component.waits = () if self._disable_retries else WAITS
        if isinstance(component, KeepingOauthAuthenticator):
            component.file = self._file
        if isinstance(component, CarefulRequester):
            component.skipped = self.skipped
        if isinstance(component, WholeListRetriever):
            router = named.get("partition_router")
            component.parents = router if isinstance(router, CountingRouter) else None
        if isinstance(component, StreamingFileUploader):
            component.cut = self._cut
            chosen = self._stream_name_to_configured_stream.items()  # nothing without a catalog: in a check
            component.wanted = frozenset(name for name, it in chosen if it.include_files is not False)
        return component

    def _scope(self, config: Any) -> Scope:
        if "scope" not in self._built:
            named: dict[str, Any] = {
                "name": "look_up_of_spaces",
                "primary_key": ["id"],
                "transformations": [],
            }
            one = {**self._place, "paginator": {"type": "NoPagination"}}
            lists, file = (
                self.create_component(SimpleRetrieverModel, it, config, **named) for it in (self._place, one)
            )
            self._built["scope"] = Scope(config, lists, file.requester)
        scope: Scope = self._built["scope"]
        return scope

    def create_default_stream(self, model: Any, config: Any, **named: Any) -> Any:  # type: ignore[override]
        """Say which stream's state is invalid, where the CDK raises whatever its parsing ran into."""
        try:
            return super().create_default_stream(model, config, **named)
        except Exception as failure:
            if self._connector_state_manager.get_stream_state(model.name, None):
                raise error("foreign_state", failure, streams=model.name) from failure
            raise

    def create_grouping_partition_router(
        self, model: Any, config: Any, **named: Any
    ) -> GroupingPartitionRouter:
        """Build groups for concurrent reads, except those of parents, which are read one after another."""
        built = super().create_grouping_partition_router(model, config, **named)
        if not FAST or self._builds_parents or built.group_size >= TO_SAVE_REQUESTS:
            return built
        return EvenGroupingRouter(
            built.group_size, built.underlying_partition_router, config, built.deduplicate
        )

    def create_http_requester(self, model: Any, config: Any, **named: Any) -> HttpRequester:  # type: ignore[override]
        """Cache all responses or none: a check shares the lists of parents, a read does not need to."""
        model.use_cache = not self._disable_cache
        return super().create_http_requester(model, config, **named)

    def create_selective_authenticator(self, model: Any, config: Any, **named: Any) -> Any:
        """Build one for all requesters that declare the same: otherwise each of them asks for a token of its own."""
        name, config = str(model), self._config_to_save or config
        if name not in self._built:
            self._built[name] = super().create_selective_authenticator(model, config, **named)
        return self._built[name]

    def create_concurrent_cursor_from_perpartition_cursor(self, *args: Any, **named: Any) -> PartitionCursor:
        """Build our cursor from the CDK's."""
        built = super().create_concurrent_cursor_from_perpartition_cursor(*args, **named)
        ours = SpaceGroupCursor if is_grouped(named["partition_router"]) else PartitionCursor
        cursor, cut = ours.like(built, named["stream_state"]), self._cut[named["stream_name"]]
        # Where spaces are left out, that of a file may be one of them now; the other files are all read again.
        cut.update([] if named["config"]["_limited"] else named["stream_state"].get("cut", []))
        cursor.cut, cursor.is_sparing = cut, bool(FAST)
        if isinstance(named["partition_router"], CountingRouter):
            named["partition_router"].again = cut
        return cursor

    def create_simple_retriever(self, model: Any, config: Any, **named: Any) -> SimpleRetriever:
        """After a 504, ask for half as many records and go on from the same place.

        The manifest can say this when the Builder's CDK knows REDUCE_PAGE_SIZE: 7.23.8 does not.
        """
        retriever = super().create_simple_retriever(model, config, **named)
        if retriever.paginator and retriever.paginator.get_page_size() and not self._disable_retries:
            retriever.page_size_reduction = SMALLER_PAGES
            shrink = HttpResponseFilter(
                config=config, parameters={}, http_codes={504}, action=ResponseAction.REDUCE_PAGE_SIZE
            )
            retriever.requester.error_handler.response_filters.insert(0, shrink)  # type: ignore[attr-defined]
        return retriever

    def create_parent_stream_config_with_substream_wrapper(
        self, model: Any, config: Any, *, stream_name: str, **named: Any
    ) -> Any:
        """Build parents with a factory like this one, where the CDK uses its own."""
        state = self._connector_state_manager.get_stream_state(stream_name, None)
        parents = copy(self)
        vars(parents).update(
            _builds_parents=True,
            _stream_name_to_configured_stream={},
            _message_repository=StateFilteringMessageRepository(self._message_repository),
            _connector_state_manager=self._instantiate_parent_stream_state_manager(
                state, config, model, state if model.incremental_dependency else None
            ),
        )
        parents._init_mappings()  # noqa: SLF001 - of the copy: it has the methods of `self`
        return parents.create_parent_stream_config(model, config, stream_name=stream_name, **named)
