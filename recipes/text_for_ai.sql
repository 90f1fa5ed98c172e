-- Text for an AI
-- Each current page and post with metadata for a search or a model: the path from the space down, the labels, and the
-- account ids of those who may see it, from [who can see what](#who-can-see-what). **Show a page or post to nobody
-- else**; if `may_see` is empty, to nobody. A text that is newer than `page_index` or `blog_post_index` is for nobody: it
-- may have been restricted before it was written. Personal labels of the reading account are left out. A program converts
-- `body` to [Markdown](#a-page-in-markdown). Do not use rendered bodies here: they contain what the reading account sees of
-- other pages.
--
-- Optional: `blog_posts`, `blog_post_index`, `blog_post_labels`
-- Show: SELECT document_key, type, path, labels, array_length(may_see, 1) AS people FROM text_for_ai
-- WHERE array_length(labels, 1) > 1 ORDER BY type, path LIMIT 5
WITH content AS (
  SELECT p.id, 'page' AS type, p.title, t.path, t.space, p.body, p._links, p.updatedAt, x.updatedAt AS indexedAt, p.subtype
  FROM pages p
  JOIN page_tree t ON t.id = p.id
  JOIN page_index x ON x.id = p.id
  UNION ALL
  SELECT p.id, 'blogpost', p.title, p.title, s.key, p.body, p._links, p.updatedAt, x.updatedAt, NULL
  FROM blog_posts p
  JOIN blog_post_index x ON x.id = p.id AND x.status = 'current'
  JOIN space s ON s.id = x.spaceId
),
labelled AS (
  SELECT id, array_agg(labelName ORDER BY labelName) AS labels FROM (
    SELECT pageId AS id, labelName, labelPrefix FROM page_labels
    UNION ALL SELECT blogPostId, labelName, labelPrefix FROM blog_post_labels
  ) each_label WHERE labelPrefix IS DISTINCT FROM 'my' GROUP BY 1
),
seen AS (
  SELECT id, array_agg(accountId ORDER BY accountId) AS may_see FROM who_can_see GROUP BY 1
)
SELECT c.id AS document_key, c.type, c.title, s.name || ' / ' || c.path AS path, s.key AS space, c.body,
       coalesce(i.baseUrl, '') || (c._links ->> 'webui') AS url, c.updatedAt AS last_modified, l.labels,
       coalesce(seen.may_see, ARRAY[]::TEXT[]) AS may_see, c.subtype
FROM content c
JOIN space s ON s.key = c.space
LEFT JOIN site_info i ON TRUE
LEFT JOIN labelled l ON l.id = c.id
LEFT JOIN seen ON seen.id = c.id AND c.updatedAt <= c.indexedAt
