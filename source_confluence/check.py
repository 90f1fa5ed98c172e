"""Check a connection: whether spaces can be read, and which streams cannot."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from airbyte_cdk.models import AirbyteConnectionStatus, FailureType, Status
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_confluence.messages import ACCESS, LACKS_SCOPE, PLACE, explain, reason, scopes

Build = Callable[..., list[AbstractStream]]
# A check must not renew the refresh token: the platform would store the changed configuration.
NO_RENEWAL = {"refresh_token": "", "token_expiry_date": "2999-01-01T00:00:00Z"}


def complete(
    status: AirbyteConnectionStatus, config: Mapping[str, Any], build: Build
) -> AirbyteConnectionStatus:
    """Complete the CDK's status, which says whether spaces can be read.

    Streams that the credential cannot read do not fail the connection: they can be deselected.

    Args:
        status: What the CDK's check returned.
        config: The configuration.
        build: Builds streams from a configuration and their names.
    """
    credentials = config.get("credentials") or {}
    if "refresh_token" in credentials:
        config = {**config, "credentials": {**credentials, **NO_RENEWAL}}
    if status.status != Status.SUCCEEDED:
        said = PLACE.sub("", str(status.message))
        status.message = explain("space", said.strip("'\"").replace("\\'", "'"))
    elif unknown := unknown_space_keys(config, build):
        status.status, status.message = Status.FAILED, unknown
    elif unreadable := _unreadable_streams(config, build):
        status.message = "The connection works, but not for these streams: " + " ".join(
            f"{', '.join(names)}: {why}" for why, names in unreadable.items()
        )
    if status.message:
        status.message = filter_secrets(status.message)
    return status


def unknown_space_keys(config: Mapping[str, Any], build: Build) -> str | None:
    """Return the sentence about configured space keys that Confluence does not list, None where there are none."""
    wanted = [*config.get("space_keys", []), *config.get("exclude_space_keys", [])]
    listed = _spaces(config, build, wanted) if wanted else []
    unknown = sorted(set(wanted) - {space["key"] for space in listed}, key=wanted.index)
    if not unknown:
        return None
    keys = {}
    for space in _spaces(config, build, []):
        for name in (space.get("currentActiveAlias"), space["key"]):
            keys[str(name).casefold()] = space["key"]
    named = [f"{key} (write {keys[key.casefold()]})" if key.casefold() in keys else key for key in unknown]
    return (
        f"No space that this account can see has the key {', '.join(named)}. Correct space_keys and "
        "exclude_space_keys (the key is among the space's settings; its address may show an alias instead), or "
        "give the account access to the space."
    )


def _spaces(config: Mapping[str, Any], build: Build, keys: list[str]) -> list[Mapping[str, Any]]:
    """Return the spaces with these keys, all spaces for none."""
    (space,) = build({**config, "space_keys": keys, "exclude_space_keys": []}, ["space"])
    return [record.data for part in space.generate_partitions() for record in part.read()]


def _unreadable_streams(config: Mapping[str, Any], build: Build) -> dict[str, list[str]]:
    """Return the names of the streams that Confluence refuses, by reason.

    One stream is read on behalf of all that need the same scopes and permission, parents before children: a
    child finds its parents in the cache.
    """
    depths = {name: len(ACCESS[name]["probes"]) for access in ACCESS.values() for name in access["probes"]}
    streams = build({**config, "body_format": "none"}, list(depths))
    refusals: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=8) as pool:
        for depth in sorted(set(depths.values())):
            probes = [stream for stream in streams if depths[stream.name] == depth]
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
            return PLACE.sub("", reason(str(error)))
    return None
