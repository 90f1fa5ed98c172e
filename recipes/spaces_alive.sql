-- Active spaces
-- Pages of each space, the number of people who saved their newest versions, and the date of the last save.
-- Show: SELECT * FROM spaces_alive ORDER BY pages DESC, space LIMIT 8
SELECT s.key AS space, s.name, count(*) AS pages, count(DISTINCT p.version ->> 'authorId') AS editors,
       max(p.updatedAt)::DATE AS last_edit
FROM pages p JOIN space s ON s.id = p.spaceId
WHERE p.status = 'current'
GROUP BY 1, 2
