"""The streams of the manifest, for the documentation and the tests."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver

from fake_confluence.contract import Operation, load_contract
from source_confluence.components.scope import OF_THE_SITE
from source_confluence.source import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator

# Fields with the key of another stream's record. The target of comment ids depends on the name of the stream.
# authorId is excluded: nearly every stream refers to users by it.
REFERENCES = {
    "spaceId": "space",
    "pageId": "pages",
    "blogPostId": "blog_posts",
    "attachmentId": "attachments",
    "treeItemId": "tree_items",
    "labelId": "labels",
    "groupId": "group",
    "roleId": "space_roles",
    "accountId": "users",
}
# Streams of groups and permissions whose keys contain neither.
IDENTITIES = {
    *("group", "space_permissions"),
    *("page_restrictions", "blog_post_restrictions", "tree_item_restrictions"),
}

PART = "config['_part']"
SCHEMAS = MANIFEST.with_name("schemas")
SPEC = MANIFEST.with_name("spec.yaml")
FOOT = "# Written by `make derived` from schemas/*.json, spec.yaml and the blocks above: edit those.\n"


@dataclass(frozen=True)
class Stream:
    """One stream of the manifest, with all references resolved."""

    name: str
    declared: dict[str, Any]

    @property
    def key(self) -> list[str]:
        """The fields of the primary key."""
        return list(self.declared["primary_key"])

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a record."""
        return dict(self.declared["schema_loader"]["schema"])

    @property
    def cursor(self) -> str | None:
        """The cursor field; None if every sync reads in full."""
        cursor: str | None = self.declared.get("incremental_sync", {}).get("cursor_field")
        return cursor

    @property
    def router(self) -> dict[str, Any]:
        """The partition router, the first of several; empty if one list covers the site."""
        routers = self.declared["retriever"].get("partition_router", {})
        return dict(routers[0] if isinstance(routers, list) else routers)

    @property
    def parents(self) -> list[str]:
        """The parent streams."""
        inner = self.router.get("underlying_partition_router", self.router)
        return [config["stream"]["name"] for config in inner.get("parent_stream_configs", [])]

    @property
    def partition_fields(self) -> list[str]:
        """The fields of this stream that contain the ids of the parents."""
        inner = self.router.get("underlying_partition_router", self.router)
        return [config["partition_field"] for config in inner.get("parent_stream_configs", [])]

    @property
    def only_the_package_limits(self) -> bool:
        """Whether only the package can limit it to spaces: the manifest alone then fails it."""
        return OF_THE_SITE in json.dumps(self.declared)

    @property
    def follows_changes(self) -> bool:
        """Whether it reads only parents that changed since the last sync."""
        configs = self.router.get("parent_stream_configs", [])
        return any(config.get("incremental_dependency") for config in configs)

    @property
    def part(self) -> str:
        """How a part of the site gets its records.

        `space`: those of its spaces. `id`: those with its ids, or below them. `first`: part 1 has all.
        """
        return part_of(self.declared)

    @property
    def points_a_record(self) -> int:
        """The points that a record costs an OAuth app, by Atlassian's rule: 2 for people, groups, permissions."""
        identity = self.name in IDENTITIES or {"accountId", "groupId", "principalId"} & set(self.key)
        return 2 if identity else 1

    @property
    def operations(self) -> list[Operation]:
        """The operations of the API that the stream calls: first for records, then for files."""
        urls = [self.declared["retriever"]["requester"]["url"]]
        if self.uploader:
            (field,) = self.uploader["download_target_extractor"]["field_path"]
            added = [each for part in self.declared["transformations"] for each in part["fields"]]
            target = next(each["value"] for each in added if each["path"] == [field])
            urls.append(
                re.sub(r"\{\{[^}]*download_target[^}]*\}\}", target, self.uploader["requester"]["url"])
            )
        return [operation for url in urls for operation in self._called(url)]

    @property
    def uploader(self) -> dict[str, Any]:
        """The file uploader; empty if the records have no files."""
        return dict(self.declared.get("file_uploader", {}))

    def _called(self, url: str) -> list[Operation]:
        for name, path in (("_v2", "/wiki/api/v2"), (OF_THE_SITE, "/wiki/api/v2"), ("_v1", "/wiki/rest/api")):
            url = url.replace(f"{{{{ config['{name}'] }}}}", path)
        kinds = [""]
        if "extra_fields['type']" in url:
            (config,) = self.router["parent_stream_configs"]
            kinds = config["stream"]["retriever"]["partition_router"][0]["values"]
        found = []
        for kind in kinds:
            path = re.sub(r"\{\{[^}]*\}\}", "1", url.replace("{{ stream_slice.extra_fields['type'] }}", kind))
            operation, _ = load_contract().find(path)
            if not isinstance(operation, Operation):  # the path is unknown, or Confluence has removed it
                raise LookupError(  # noqa: TRY004 - its type is correct
                    f"{self.name} calls {path}, which contract.yaml does not declare"
                )
            found.append(operation)
        return found

    @property
    def sent(self) -> dict[str, str]:
        """The query parameters of its requests, each with the expression of its value."""
        retriever = self.declared["retriever"]
        found = {
            name: str(value) for name, value in retriever["requester"].get("request_parameters", {}).items()
        }
        for name, value in self.uploader.get("requester", {}).get("request_parameters", {}).items():
            found[name] = str(value)
        routers = retriever.get("partition_router", [])
        for router in routers if isinstance(routers, list) else [routers]:
            if "request_option" in router:
                found[router["request_option"]["field_name"]] = str(router["values"])
        paginator, cursor = retriever["paginator"], self.declared.get("incremental_sync", {})
        options = [paginator.get("page_token_option"), paginator.get("page_size_option")]
        options += [cursor.get("start_time_option"), cursor.get("end_time_option")]
        return found | {option["field_name"]: "" for option in options if option}

    @property
    def references(self) -> Iterator[tuple[str, str]]:
        """The fields that refer to other streams, and those streams."""
        for field in self.schema["properties"]:
            target = REFERENCES.get(field)
            if field in ("commentId", "parentCommentId"):
                target = "footer_comments" if self.name.startswith("footer") else "inline_comments"
            if target and target != self.name:
                yield field, target


def part_of(declared: dict[str, Any]) -> str:
    """Return how a part of the site gets the records of a stream, as `Stream.part`.

    Raises:
        LookupError: The manifest does not say it: each part would have all records.
    """
    retriever = declared["retriever"]
    routers = retriever.get("partition_router", [])
    inner = [
        router.get("underlying_partition_router", router)
        for router in (routers if isinstance(routers, list) else [routers])
    ]
    if any(PART in str(router.get("values")) for router in inner):
        return "first"
    condition = retriever["record_selector"].get("record_filter", {}).get("condition", "")
    fields = {router.get("cursor_field") for router in inner}
    lists = re.findall(r"'(\w+)' not in stream_partition", condition)  # in others it does not hold
    if PART in condition and (not lists or fields & {*lists}):
        return "space" if retriever["requester"]["url"].endswith("/spaces") else "id"
    parents = [config["stream"] for router in inner for config in router.get("parent_stream_configs", [])]
    rules = {part_of(parent) for parent in parents}
    if len(rules) > 1:  # what the site has beside its spaces
        rules.discard("first")
    if len(rules) != 1:
        raise LookupError(f"no part reads {declared['name']}: give it the partition router `once`")
    return rules.pop()


@cache
def resolved() -> dict[str, Any]:
    """Return the definitions of the manifest, with all references resolved: this takes a second."""
    whole = {**yaml.safe_load(handwritten()), "schemas": schemas()}
    return dict(ManifestReferenceResolver().preprocess_manifest(whole)["definitions"])


def streams() -> Iterator[Stream]:
    """Yield the streams in the order of the manifest."""
    return (Stream(name, declared) for name, declared in resolved()["streams"].items())


def handwritten() -> str:
    """Return the handwritten part of the manifest."""
    return MANIFEST.read_text(encoding="utf-8").partition(FOOT)[0].rstrip("\n") + "\n"


def schemas() -> dict[str, Any]:
    """Return the schemas by stream."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(SCHEMAS.glob("*.json"))
    }


def spec() -> dict[str, Any]:
    """Return the spec, with the shared parts inserted and the scopes of all streams."""
    text = SPEC.read_text(encoding="utf-8")
    for name, part in yaml.safe_load(text)["shared"].items():
        if isinstance(part, str):
            text = text.replace(f"<{name}>", part)
    written = yaml.safe_load(text)
    resolved: dict[str, Any] = ManifestReferenceResolver().preprocess_manifest(written)["spec"]
    needed = {
        scope
        for stream in streams()
        for operation in stream.operations
        for scope in operation.scopes.get("granular") or operation.scopes["classic"]
        # Atlassian requires one of these to read the level of a page: do not request it from all users.
        if not scope.startswith("write:")
    }
    rules = resolved["config_normalization_rules"]
    rules["transformations"] = list(each_written_out(rules["transformations"]))
    consent = resolved["advanced_auth"]["oauth_config_specification"]["oauth_connector_input_specification"]
    # Atlassian returns a refresh token only if offline_access is requested; the streams need the other scopes.
    consent["scope"] = " ".join(["offline_access", *sorted(needed)])
    return resolved


def each_written_out(rules: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield each rule; repeat a rule with `each` for each listed field, with the field's expression for <it>."""
    for rule in rules:
        if "each" not in rule:
            yield rule
        for path in rule.get("each", []):
            it = " or {})".join(f"['{name}']" for name in path)
            it = "(" * (len(path) - 1) + "config" + it
            made = {key: text.replace("<it>", it) for key, text in rule.items() if key != "each"}
            if "value" in made:
                made["fields"] = [{"type": "AddedFieldDefinition", "path": path, "value": made.pop("value")}]
            else:
                made["field_pointers"] = [path]
            yield made
