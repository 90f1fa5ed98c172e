-- People, and their groups
-- One row for each account that is a user, a member of a group, or the author of content. Join it to any `authorId` to show
-- a name. `kind` is `atlassian` for a person, otherwise `app` or `customer`. A person who left is not `active`. An
-- `unlisted` account is named only by content: the person left the site or has no access to it, or the account belongs to
-- an app.
-- Show: SELECT person, kind, status, groups FROM people ORDER BY status DESC, person LIMIT 5
WITH accounts AS (
  SELECT accountId, displayName, publicName, accountType, accountStatus, email, 1 AS place FROM users
  UNION ALL SELECT accountId, displayName, publicName, accountType, accountStatus, email, 2 FROM group_members
  UNION ALL SELECT accountId, displayName, publicName, accountType, 'unlisted', email, 3 FROM named_users
),
once AS (SELECT DISTINCT ON (accountId) * FROM accounts ORDER BY accountId, place)
SELECT a.accountId, coalesce(a.displayName, a.publicName, a.accountId) AS person, a.accountType AS kind,
       a.accountStatus AS status, a.email, string_agg(g.name, ', ' ORDER BY g.name) AS groups
FROM once a
LEFT JOIN group_members m ON m.accountId = a.accountId
LEFT JOIN "group" g ON g.id = m.groupId
GROUP BY 1, 2, 3, 4, 5
