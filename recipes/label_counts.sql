-- How often each label is used
-- A label with the prefix `my` is personal; nobody else sees it.
-- Show: SELECT * FROM label_counts ORDER BY pages + posts + attachments DESC, label LIMIT 6
SELECT l.name AS label, l.prefix,
       (SELECT count(*) FROM page_labels WHERE labelId = l.id) AS pages,
       (SELECT count(*) FROM blog_post_labels WHERE labelId = l.id) AS posts,
       (SELECT count(*) FROM attachment_labels WHERE labelId = l.id) AS attachments
FROM labels l
