-- What became of each page
-- `page_index` lists every page that can be seen now, in every status. A page that it lacks is deleted when two complete
-- reads in a row lack it. [Incremental syncs](incremental.md#deletions-what-became-of-each-page) has the rules and the
-- values of `now`.
-- Show: SELECT id, title, now, deleted FROM deletions WHERE now <> 'current' LIMIT 6
WITH latest AS (
  SELECT DISTINCT ON (id) * FROM pages ORDER BY id, updatedAt DESC NULLS LAST
),
index_read AS (  -- the last read of the index, if it is complete, not empty, and not older than `pages`
  SELECT i.finished
  FROM _syncs i LEFT JOIN _syncs p ON p.stream = 'pages'
  WHERE i.stream = 'page_index' AND i.status = 'COMPLETE' AND coalesce(i.finished >= p.finished, TRUE)
    AND EXISTS (SELECT 1 FROM page_index)
),
known AS (
  SELECT coalesce(p.id, i.id, a.id) AS id, coalesce(i.title, p.title) AS title, p.id AS page, i.id AS listed,
         a.id AS kept, coalesce(p.spaceId, a.spaceId) AS space_before, i.spaceId AS space_now, p.status,
         i.status AS index_status,
         (p.version ->> 'number')::INT AS version, (i.version ->> 'number')::INT AS index_version,
         p._airbyte_extracted_at > i._airbyte_extracted_at AS read_later,
         -- A page that was read since the index first lacked it exists.
         CASE WHEN (p._airbyte_extracted_at > a.since) IS NOT TRUE THEN a.since END AS since,
         CASE WHEN a.since IS NOT NULL AND (p._airbyte_extracted_at > a.since) IS NOT TRUE THEN a.marked END AS marked,
         CASE WHEN a.since IS NULL THEN a.marked END AS marked_by_status,
         CASE WHEN p.id IS NULL OR p._airbyte_extracted_at <= r.finished THEN r.finished END AS first_absence,
         coalesce(a.allowed, FALSE) AS allowed, r.finished
  FROM latest p
  FULL JOIN page_index i ON i.id = p.id
  FULL JOIN (SELECT * FROM _absent WHERE stream = 'pages') a ON a.id = coalesce(p.id, i.id)
  LEFT JOIN index_read r ON TRUE
),
judged AS (
  SELECT *, listed IS NULL AND marked IS NULL AND since < finished AS absent_twice,
         coalesce(page, CASE WHEN marked_by_status IS NULL THEN kept END) AS living,
         CASE WHEN listed IS NULL THEN coalesce(since, first_absence) END AS absent_since
  FROM known
),
counted AS (
  SELECT *,
         count(*) FILTER (WHERE absent_twice AND NOT allowed) OVER (PARTITION BY space_before) AS of_space,
         count(*) FILTER (WHERE absent_twice AND NOT allowed) OVER () AS of_site,
         count(living) FILTER (WHERE marked IS NULL) OVER (PARTITION BY space_before) AS in_space,
         count(living) FILTER (WHERE marked IS NULL) OVER () AS in_site
  FROM judged
),
named AS (
  SELECT c.*,
         CASE
           WHEN finished IS NULL THEN 'unknown'
           WHEN read_later THEN c.status
           WHEN index_status IN ('trashed', 'deleted') THEN index_status
           WHEN listed IS NOT NULL AND page IS NULL THEN 'missing'
           WHEN version < index_version AND index_status IS DISTINCT FROM 'archived' THEN 'outdated'
           WHEN listed IS NOT NULL THEN index_status
           WHEN marked IS NULL AND absent_twice IS NOT TRUE THEN 'absent'
           -- Not more than twenty pages and a tenth of a space, or of the site, at once
           WHEN marked IS NULL AND NOT allowed AND (of_space > 20 AND of_space * 10 > in_space
                                                    OR of_site > 20 AND of_site * 10 > in_site) THEN 'held back'
           WHEN s.id IS NULL AND EXISTS (SELECT 1 FROM _syncs WHERE stream = 'space' AND status = 'COMPLETE')
             THEN 'hidden with its space'
           ELSE 'purged, hidden or moved out'
         END AS now
  FROM counted c LEFT JOIN space s ON s.id = c.space_before
)
SELECT id, title, now,
       now IN ('trashed', 'deleted', 'hidden with its space', 'purged, hidden or moved out') AS deleted,
       space_before, space_now, absent_since, coalesce(marked, marked_by_status) AS marked
FROM named
WHERE listed IS NULL OR page IS NOT NULL OR index_status IN ('current', 'archived') OR kept IS NOT NULL
ORDER BY id
