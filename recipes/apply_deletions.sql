-- Deletions, applied
-- Keeps in `_absent` since when the index lacks a page, without a time if the index lists it as trashed or deleted, or if
-- `pages` lacks it. Gives each row of `pages` its current status, space and parent. Run it after each sync that reads
-- `page_index` and `space`. A second run after the same sync changes nothing.
-- A deleted page keeps its row, with the value of `now` as its status, and is correct again when it comes back. The
-- other recipes exclude it by its status.
UPDATE _absent SET since = d.absent_since, marked = NULL, allowed = NULL FROM deletions d
WHERE _absent.stream = 'pages' AND _absent.since IS NULL AND d.id = _absent.id AND d.absent_since IS NOT NULL;
DELETE FROM _absent WHERE stream = 'pages' AND EXISTS (
  SELECT 1 FROM deletions d
  WHERE d.id = _absent.id AND d.now <> 'unknown'
    AND (d.absent_since IS DISTINCT FROM _absent.since
         OR (_absent.since IS NULL AND NOT d.deleted
             AND (d.now <> 'missing' OR _absent.marked IS NOT NULL OR d.space_now <> _absent.spaceId))));
INSERT INTO _absent (stream, id, spaceId, since)
SELECT 'pages', id, coalesce(space_before, space_now), absent_since FROM deletions d
WHERE (absent_since IS NOT NULL OR deleted OR now = 'missing')
  AND NOT EXISTS (SELECT 1 FROM _absent a WHERE a.stream = 'pages' AND a.id = d.id);
UPDATE _absent SET marked = now() WHERE stream = 'pages' AND marked IS NULL
  AND id IN (SELECT id FROM deletions WHERE deleted);
UPDATE pages SET status = d.now FROM deletions d
WHERE d.id = pages.id AND d.deleted AND d.absent_since IS NOT NULL;
UPDATE pages SET
  parentId = i.parentId, parentType = i.parentType, position = i.position,
  status = i.status, spaceId = i.spaceId
FROM page_index i JOIN deletions d ON d.id = i.id
WHERE i.id = pages.id AND d.now <> 'unknown'
  AND (pages._airbyte_extracted_at > i._airbyte_extracted_at) IS NOT TRUE
