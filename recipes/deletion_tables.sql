-- Two tables for the deletions
-- `_syncs` says when each stream was last read, and whether completely. [tools/load.py](../tools/load.py) writes it;
-- [after another loader](#the-table-_syncs-in-a-warehouse-that-airbyte-fills), you do. `full_read` is when the last complete
-- read from the beginning began, and `full_before` the one before it; `read_from` is their start date, `-infinity` if there
-- is none, and `spaces` the text of the settings that choose spaces or a part of the site. Where these are null, nothing is
-- known of deleted comments. `_absent` keeps since when a complete read lacks a page, and when it was marked as deleted.
CREATE TABLE IF NOT EXISTS _syncs (
  stream VARCHAR(100) PRIMARY KEY, status VARCHAR(20), finished TIMESTAMPTZ,
  full_read TIMESTAMPTZ, full_before TIMESTAMPTZ, read_from TIMESTAMPTZ, spaces VARCHAR);
CREATE TABLE IF NOT EXISTS _absent (
  stream VARCHAR(100), id VARCHAR(100), spaceId VARCHAR(100), since TIMESTAMPTZ, marked TIMESTAMPTZ, allowed BOOLEAN,
  PRIMARY KEY (stream, id))
