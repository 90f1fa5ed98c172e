-- The latest body of each page
-- A table that Airbyte appends to has a row for each sync in which a page changed. This query returns the newest
-- row. After *Append + Deduped* there is only one. The other recipes expect deduplicated tables.
-- Show: SELECT id, title, version, updatedAt::DATE AS updated, left(body, 70) AS body
-- FROM latest_pages ORDER BY updatedAt DESC LIMIT 5
SELECT DISTINCT ON (id) id, spaceId, status, title, (version ->> 'number')::INT AS version, updatedAt,
       body -> 'storage' ->> 'value' AS body  -- 'atlas_doc_format' with that body_format
FROM pages
ORDER BY id, updatedAt DESC NULLS LAST
