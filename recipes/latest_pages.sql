-- The latest body of each page
-- In a table that Airbyte appends to, a page stands once for every sync in which it had changed. This keeps the
-- newest. After *Append + Deduped* there is nothing to leave out. The other recipes take tables to be deduplicated.
-- Show: SELECT id, title, version, updatedAt::DATE AS updated, left(body, 70) AS body
-- FROM latest_pages ORDER BY updatedAt DESC LIMIT 5
SELECT DISTINCT ON (id) id, spaceId, status, title, (version ->> 'number')::INT AS version, updatedAt,
       body -> 'storage' ->> 'value' AS body  -- 'atlas_doc_format' with that body_format
FROM pages
ORDER BY id, updatedAt DESC NULLS LAST
