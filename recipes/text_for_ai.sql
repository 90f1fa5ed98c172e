-- Text for an AI
-- Each current page with metadata for a search or a model: the path from the space down, the labels, and the account
-- ids of those who may see it, from [who can see what](#who-can-see-what). **Show a page to nobody else**; if `may_see` is
-- empty, to nobody. A text that is newer than `page_index` is for nobody: its page may have been restricted before it
-- was written. A program converts `body` to [Markdown](#a-page-in-markdown). Do not use rendered bodies here: they
-- contain what the reading account sees of other pages.
-- Show: SELECT document_key, path, labels, array_length(may_see, 1) AS people FROM text_for_ai
-- WHERE array_length(labels, 1) > 1 ORDER BY path LIMIT 5
WITH labelled AS (
  SELECT pageId, array_agg(labelName ORDER BY labelName) AS labels FROM page_labels GROUP BY 1
),
seen AS (
  SELECT id, array_agg(accountId ORDER BY accountId) AS may_see FROM who_can_see GROUP BY 1
)
SELECT p.id AS document_key, p.title, s.name || ' / ' || t.path AS path, s.key AS space, p.body,
       coalesce(i.baseUrl, '') || (p._links ->> 'webui') AS url, p.updatedAt AS last_modified, l.labels,
       coalesce(seen.may_see, ARRAY[]::TEXT[]) AS may_see, p.subtype
FROM pages p
JOIN page_tree t ON t.id = p.id
JOIN space s ON s.key = t.space
LEFT JOIN site_info i ON TRUE
LEFT JOIN labelled l ON l.pageId = p.id
JOIN page_index x ON x.id = p.id
LEFT JOIN seen ON seen.id = p.id AND (p.updatedAt > x.updatedAt) IS NOT TRUE
