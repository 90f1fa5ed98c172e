-- Who may read a space
-- One row for each person who may read a space: by name, through a group, through a role, or because the space is open to
-- all users with a licence or to anonymous visitors.
--
-- A guest has no licence, and can be in one space at a time: a guest who seems to be in several is in none. So a guest
-- counts only if `_syncs` says that the last sync of `space_permissions`, `space_roles`, `space_role_assignments` and
-- `group_members` was complete, for all spaces and the whole site (their `spaces` is `{}`), and not too long ago. Read with
-- an account that sees all spaces. On a site without roles, no guest counts.
--
-- A row does not count if the last sync failed to read it again, or if it is more than 8 days older than the newest rows.
-- Such a row gives nobody access; it can only show that a guest has a second space. Not included: accounts that are not
-- active or not in `users`, such as those without a licence; apps, anonymous visitors, other classes of people, and
-- administrators, who can grant themselves access.
--
-- Optional: `blog_post_index`, `space_roles`, `space_role_assignments`, `_syncs`
-- Show: SELECT space, count(*) AS people, count(*) FILTER (WHERE guest) AS guests FROM space_readers
-- GROUP BY space ORDER BY people DESC, space LIMIT 4
WITH recent AS (
  SELECT max(read_at) - INTERVAL '8 days' AS since FROM (
    SELECT max(_airbyte_extracted_at) AS read_at FROM page_index
    UNION ALL SELECT max(_airbyte_extracted_at) FROM blog_post_index
    UNION ALL SELECT max(_airbyte_extracted_at) FROM users
    UNION ALL SELECT max(_airbyte_extracted_at) FROM space_permissions
    UNION ALL SELECT max(_airbyte_extracted_at) FROM group_members
  ) newest
),
accounts AS (  -- a person counts as a guest unless Confluence says otherwise
  SELECT accountId, coalesce(displayName, publicName, accountId) AS person,
         coalesce(isGuest OR isExternalCollaborator OR externalCollaborator,
                  isGuest, isExternalCollaborator, externalCollaborator, TRUE) AS guest
  FROM users JOIN recent ON _airbyte_extracted_at >= since
  WHERE accountType = 'atlassian' AND accountStatus = 'active'
),
permitted AS (
  SELECT spaceId, lower(principal ->> 'type') AS kind, principal ->> 'id' AS id,
         (_airbyte_extracted_at >= since) IS TRUE AS counts
  FROM space_permissions CROSS JOIN recent
  WHERE (operation ->> 'key') = 'read' AND (operation ->> 'targetType') = 'space'
),
reading_roles AS (
  SELECT r.id, (_airbyte_extracted_at >= since) IS TRUE AS counts FROM space_roles r CROSS JOIN recent
  CROSS JOIN LATERAL generate_series(0, json_array_length(r.spacePermissions::JSON)::INT - 1) AS place(n)
  WHERE (r.spacePermissions ->> n::INT) IN ('read/space', 'space/read')
  UNION ALL
  SELECT id, FALSE FROM space_roles WHERE spacePermissions IS NULL
),
holders AS (  -- a role is replaced by its holders
  SELECT spaceId, kind, id, counts FROM permitted
  UNION
  SELECT a.spaceId, lower(a.principalType), a.principalId,
         a._airbyte_extracted_at >= since AND (p.counts IS TRUE OR r.counts IS TRUE)
  FROM space_role_assignments a CROSS JOIN recent
  LEFT JOIN permitted p ON p.kind = 'role' AND p.spaceId = a.spaceId AND p.id = a.roleId
  LEFT JOIN reading_roles r ON r.id = a.roleId
  WHERE p.id IS NOT NULL OR r.id IS NOT NULL
),
classes AS (
  SELECT spaceId, lower(replace(id, '_', '-')) AS class FROM holders
  WHERE counts AND kind NOT IN ('user', 'group', 'role')
),
granted AS (
  SELECT spaceId, id AS accountId, counts FROM holders WHERE kind = 'user'
  UNION
  SELECT h.spaceId, m.accountId, h.counts AND m._airbyte_extracted_at >= since FROM holders h
  JOIN group_members m ON h.kind = 'group' AND m.groupId = h.id
  CROSS JOIN recent
),
only_space AS (  -- of each person who is named in one space, also by what does not count; without those open to everybody
  SELECT g.accountId, min(g.spaceId) AS spaceId FROM granted g
  CROSS JOIN (
    SELECT count(DISTINCT stream) AS known FROM _syncs CROSS JOIN recent
    WHERE stream IN ('space_permissions', 'space_roles', 'space_role_assignments', 'group_members')
      AND spaces = '{}' AND status = 'COMPLETE' AND (finished >= since) IS NOT FALSE
  ) y
  LEFT JOIN classes c ON c.spaceId = g.spaceId AND c.class = 'anonymous-users'
  WHERE c.spaceId IS NULL AND y.known = 4
  GROUP BY g.accountId HAVING count(DISTINCT g.spaceId) = 1 AND bool_or(g.counts)
),
readers AS (
  SELECT g.spaceId, g.accountId FROM granted g JOIN accounts p ON p.accountId = g.accountId AND NOT p.guest
  WHERE g.counts
  UNION
  SELECT o.spaceId, o.accountId FROM only_space o
  UNION
  SELECT c.spaceId, p.accountId FROM classes c
  JOIN accounts p ON c.class = 'anonymous-users' OR c.class = 'all-licensed-users' AND NOT p.guest
)
SELECT s.key AS space, r.spaceId, p.accountId, p.person, p.guest
FROM readers r
JOIN accounts p ON p.accountId = r.accountId
JOIN space s ON s.id = r.spaceId
