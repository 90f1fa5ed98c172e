"""Files that are written to disk as they arrive."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airbyte_cdk.models import AirbyteRecordMessageFileReference
from airbyte_cdk.sources.declarative.retrievers.file_uploader import DefaultFileUploader
from airbyte_cdk.sources.declarative.types import Record, StreamSlice
from airbyte_cdk.sources.streams.http.exceptions import BaseBackoffException
from airbyte_cdk.sources.utils.files_directory import get_files_directory
from airbyte_cdk.utils import AirbyteTracedException

from source_confluence.components.adapters import CutFileError, FileAdapter
from source_confluence.messages import reason, status_of

LOGGER = logging.getLogger("airbyte")
MEGABYTE = 1_000_000
UNAUTHORIZED = 401


class StreamingFileUploader(DefaultFileUploader):
    """Stream files to disk, and deliver a record without a file that is too large, deleted, refused or always cut.

    The CDK holds a whole file in memory, twice; it fails the stream when a body is incomplete or a file was deleted;
    and it downloads during a check, and where the catalog asks for no files.

    Tests: `test_files.py`; `python -m benchmarks files`. Delete it when the CDK does none of this.
    """

    wanted: frozenset[str]  # the streams whose files the catalog includes; the factory sets it
    cut: dict[str, set[str]]  # ids of files that were cut in every try, by stream; the factory sets it

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self.requester.stream_response = True  # type: ignore[attr-defined]  # the adapter has read the body
        self._client = self.requester._http_client  # type: ignore[attr-defined]  # noqa: SLF001 - the CDK offers no other way
        for scheme in ("https://", "http://"):
            self._client._session.mount(scheme, FileAdapter(pool_maxsize=25))  # noqa: SLF001 - as above

    def upload(self, record: Record) -> None:
        """Download the file of a record and refer to it; where there is none, the log says why."""
        data, name = record.data, f"{record.data['id']} ({record.data.get('title')})"
        limit, size = self.config.get("max_file_mb", 100), (data.get("fileSize") or 0) / MEGABYTE
        if record.stream_name not in self.wanted:
            return
        cut = self.cut[record.stream_name]  # which the state keeps: the next sync tries them again
        if size > limit:
            cut.discard(data["id"])
            LOGGER.warning("No file for %s: it has %.1f MB, more than max_file_mb (%s).", name, size, limit)
            return
        self._client._name = record.stream_name  # noqa: SLF001 - which its messages name
        try:
            part = self._download(data["downloadPath"])
        except AirbyteTracedException as failure:
            # A file whose space may be left out by the next sync is not kept for it.
            is_cut = CutFileError.__name__ in str(failure.message) and not self.config["_limited"]
            if not is_cut and status_of(failure.internal_message) in (0, UNAUTHORIZED):  # not about this file
                raise
            (cut.add if is_cut else cut.discard)(data["id"])
            LOGGER.warning("No file for %s: %s", name, reason(str(failure.message)))
            return
        cut.discard(data["id"])
        relative = Path(record.stream_name, self.filename_extractor.eval(self.config, record=record))  # type: ignore[union-attr]
        path = get_files_directory() / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        size = part.replace(path).stat().st_size
        record.file_reference = AirbyteRecordMessageFileReference(str(path), str(relative), size)

    def _download(self, target: str, attempts: int = 2) -> Path:
        place = StreamSlice(partition={}, cursor_slice={}, extra_fields={"download_target": target})
        try:
            return Path(self.requester.send_request(stream_slice=place).part)  # type: ignore[union-attr]
        except AirbyteTracedException as failure:
            if attempts == 1 or isinstance(failure.__context__, BaseBackoffException):
                raise
        return self._download(target, attempts - 1)  # a signed address can expire before it is used
