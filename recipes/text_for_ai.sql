-- Text for an AI
-- Each page as plain text, with what a search or a model wants beside it. Macros keep their text and lose their
-- parameters. Join [who can see what](#who-can-see-what) before you show a page to anybody.
-- Show: SELECT path, labels, characters, replace(text, chr(10), ' ')[:70] AS text
-- FROM text_for_ai WHERE len(labels) > 1 ORDER BY path LIMIT 5
WITH parts AS (  -- code stands in CDATA, where nothing is escaped
  SELECT id, string_split(body ->> '$.storage.value', '<![CDATA[') AS parts FROM pages WHERE status = 'current'
),
escaped AS (
  SELECT id, parts[1] || array_to_string(list_transform(parts[2:], lambda part:
           replace(replace(split_part(part, ']]>', 1), '&', '&amp;'), '<', '&lt;')
           || substr(part, strpos(part, ']]>') + 3)), '') AS xhtml
  FROM parts
),
unmarked AS (
  SELECT id, trim(regexp_replace(regexp_replace(regexp_replace(regexp_replace(xhtml,
           '<ac:parameter[^>]*>.*?</ac:parameter>', '', 'gs'),
           '</(p|h[1-6]|li|tr|blockquote|pre|ac:plain-text-body)>|<br ?/>', chr(10), 'g'),
           '<[^>]+>', '', 'g'),
           '\n\s*\n+', chr(10), 'g'), ' ' || chr(10)) AS text
  FROM escaped
)
SELECT t.space, t.path, p.title, coalesce(l.labels, []) AS labels, p.updatedAt, p.id,
       replace(replace(replace(replace(replace(u.text,
         '&nbsp;', ' '), '&quot;', '"'), '&lt;', '<'), '&gt;', '>'), '&amp;', '&') AS text,
       length(u.text) AS characters
FROM unmarked u
JOIN pages p ON p.id = u.id
JOIN page_tree t ON t.id = u.id
LEFT JOIN (
  SELECT pageId, list(labelName ORDER BY labelName) AS labels FROM page_labels GROUP BY pageId
) l ON l.pageId = u.id
