"""Check a connection: whether spaces can be read, and which streams cannot."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from airbyte_cdk.models import AirbyteConnectionStatus, FailureType, Status
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_confluence.messages import (
    ACCESS,
    LACKS_SCOPE,
    NOBODY,
    explain,
    reason,
    say,
    scopes,
    status_of,
)

NO_CONNECTION = {"failed": FailureType.system_error}
Build = Callable[..., dict[str, AbstractStream]]
BASIC = ("api_token", "scoped_api_token")  # for the others Atlassian refuses a wrong credential
# Streams of the whole site, which an account can read that sees no space.
WITHOUT_CONTENT = frozenset(
    (
        *("audit", "audit_retention", "classification_levels", "group", "group_members", "site_info"),
        *("space_permission_types", "space_role_mode", "space_roles", "users"),
    )
)


def complete(
    status: AirbyteConnectionStatus, config: Mapping[str, Any], build: Build
) -> AirbyteConnectionStatus:
    """Complete the CDK's status, which says whether spaces can be read.

    Streams that the credential cannot read do not fail the connection: they can be deselected.

    Args:
        status: What the CDK's check returned.
        config: The configuration.
        build: Builds streams of these names, with other settings.
    """
    if status.status != Status.SUCCEEDED:
        said = str(status.message).strip("'\"").replace("\\'", "'")
        status.message = explain("space", said, status_of(said))
    elif obstacle := why_nothing_can_be_read(config, build):
        status.status, status.message = Status.FAILED, obstacle
    elif unreadable := _unreadable_streams(build):
        listed = " ".join(f"{', '.join(names)}: {why}" for why, names in unreadable.items())
        status.message = say("unreadable_streams", listed=listed)
    if status.message:
        status.message = filter_secrets(status.message)
    return status


def why_nothing_can_be_read(
    config: Mapping[str, Any], build: Build, selected: frozenset[str] = frozenset({"space"})
) -> str | None:
    """Return the sentence for what would make a read look complete that is not, None where there is nothing.

    On a site with public spaces, a wrong email and token is an anonymous visitor: everything else would seem to be
    deleted. It also would if a key in the configuration were wrong, or if the account could see no space at all.

    Args:
        config: The configuration.
        build: Builds streams of these names, with other settings.
        selected: The names of the streams to read.

    Raises:
        AirbyteTracedException: The keys cannot be looked up.
    """
    asked = build(["current_user", "space"])
    if config["_auth_type"] in BASIC and _first(asked["current_user"]).get("type") in NOBODY:
        return say("invalid_credential")
    if config.get("space_keys") or config.get("exclude_space_keys"):
        try:
            if unknown := _unknown_space_keys(config, build):
                return unknown
        except AirbyteTracedException as failure:
            said = reason(str(failure.message))
            failure.message = say("not_looked_up", said=said)
            raise
    if selected <= WITHOUT_CONTENT or _first(asked["space"]):
        return None
    return say("none_chosen" if config["_limited"] else "no_space")


def witness(config: Mapping[str, Any], build: Build) -> AbstractStream | None:
    """Return the user to ask for again before what was read counts, None where nothing can change unseen.

    Where Confluence answers anonymous visitors too, or does not say so, the lists of a credential that is revoked
    become shorter, without a sign.
    """
    if config["_auth_type"] in BASIC:
        asked = build(["anonymous_visitor", "current_user"])
        is_public = _first(asked["anonymous_visitor"]) not in ({}, NO_CONNECTION)
        if is_public and "type" in _first(asked["current_user"]):  # a token can lack that scope
            return asked["current_user"]
    return None


def doubt(witness: AbstractStream) -> str:
    """Return the name of the sentence that says why what was read may not be all there is, empty for no doubt."""
    user = _first(witness)
    if user.get("failed", FailureType.config_error) != FailureType.config_error:
        return "not_said"
    return "invalid_credential" if user.get("type", NOBODY[0]) in NOBODY else ""


def _first(stream: AbstractStream) -> Mapping[str, Any]:
    """Return the first record of a stream, or what kind of failure it is: then the streams of the read say why."""
    try:
        return next((record.data for part in stream.generate_partitions() for record in part.read()), {})
    except AirbyteTracedException as failure:
        return {"failed": failure.failure_type}


def _unknown_space_keys(config: Mapping[str, Any], build: Build) -> str | None:
    """Return the sentence about configured space keys that Confluence does not list, None where there are none."""
    wanted = [*config.get("space_keys", []), *config.get("exclude_space_keys", [])]
    unknown = sorted(set(wanted) - {space["key"] for space in _spaces(build, wanted)}, key=wanted.index)
    if not unknown:
        return None
    keys = {}
    for space in _spaces(build, []):
        for name in (space.get("currentActiveAlias"), space["key"]):
            keys[str(name).casefold()] = space["key"]
    named = [f"{key} (write {keys[key.casefold()]})" if key.casefold() in keys else key for key in unknown]
    return say("unknown_keys", keys=", ".join(named))


def _spaces(build: Build, keys: list[str]) -> list[Mapping[str, Any]]:
    """Return the spaces with these keys, all spaces for none."""
    (space,) = build(["space"], space_keys=keys, exclude_space_keys=[], exclude_space_kinds=[]).values()
    return [record.data for part in space.generate_partitions() for record in part.read()]


def _unreadable_streams(build: Build) -> dict[str, list[str]]:
    """Return the names of the streams that Confluence refuses, by reason.

    One stream is read on behalf of all that need the same scopes and permission, parents before children: a
    child finds its parents in the cache.
    """
    depths = {name: len(ACCESS[name]["probes"]) for access in ACCESS.values() for name in access["probes"]}
    streams = build(depths, body_format="none")
    refusals: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=8) as pool:
        for depth in sorted(set(depths.values())):
            probes = [stream for name, stream in streams.items() if depths[name] == depth]
            reasons = zip(probes, pool.map(_refusal, probes), strict=True)
            refusals |= {probe.name: why for probe, why in reasons if why}
    unreadable: dict[str, list[str]] = {}
    for name, access in ACCESS.items():
        for why in dict.fromkeys(refusals[probe] for probe in access["probes"] if probe in refusals):
            lacks = f" ({scopes(name)})" if LACKS_SCOPE in why else ""
            unreadable.setdefault(why, []).append(f"{name}{lacks}")
    return unreadable


def _refusal(stream: AbstractStream) -> str | None:
    """Return why Confluence refuses the first record of a stream, None where it does not."""
    try:
        for partition in islice(stream.generate_partitions(), 1):
            next(iter(partition.read()), None)
    except AirbyteTracedException as error:
        if error.failure_type == FailureType.config_error:
            return reason(error.message or str(error))
    return None
