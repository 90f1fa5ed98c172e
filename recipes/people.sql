-- People, and their groups
-- One row for each account, with a name to show instead of the id. `kind` is `atlassian` for a person, otherwise
-- `app` or `customer`. A person who left is not `active`.
-- Show: SELECT person, kind, status, groups FROM people ORDER BY person LIMIT 5
SELECT u.accountId, coalesce(u.displayName, u.publicName, u.accountId) AS person, u.accountType AS kind,
       u.accountStatus AS status, u.email, string_agg(g.name, ', ' ORDER BY g.name) AS groups
FROM users u
LEFT JOIN group_members m ON m.accountId = u.accountId
LEFT JOIN "group" g ON g.id = m.groupId
GROUP BY 1, 2, 3, 4, 5
