-- The latest body of each page
-- In a table that Airbyte appends to, a page stands once for every sync in which it had changed. This keeps the
-- newest. After *Append + Deduped* there is nothing to leave out. The other recipes take tables to be deduplicated.
-- Show: SELECT id, title, version, updatedAt::DATE AS updated, body[:70] AS body
-- FROM latest_pages ORDER BY updatedAt DESC LIMIT 5
SELECT id, spaceId, status, title, (version ->> 'number')::INT AS version, updatedAt,
       body ->> '$.storage.value' AS body  -- '$.atlas_doc_format.value' with that body_format
FROM pages
QUALIFY row_number() OVER (PARTITION BY id ORDER BY updatedAt DESC) = 1
