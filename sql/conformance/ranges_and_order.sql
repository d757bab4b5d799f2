-- as native: point reads, ranges, order, on every type of key.
.load ./txkv
.mode list
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
BEGIN;
INSERT INTO kv VALUES(-9223372036854775808, 1), (-1.5, 2), (-1, 3), (0, 4), (0.5, 5), (1, 6), (2, 7), (10, 8),
  (1e10, 9), (9223372036854775807, 10), (1e300, 11), ('', 12), ('A', 13), ('a', 14), ('aa', 15), ('b', 16),
  ('ä', 17), (x'', 18), (x'00', 19), (x'61', 20), (x'ff', 21);
COMMIT;
SELECT value, quote(key) FROM kv ORDER BY key;
SELECT group_concat(value) FROM (SELECT value FROM kv ORDER BY key DESC);
SELECT '=', value FROM kv WHERE key = 'a';
SELECT '= 1', value FROM kv WHERE key = 1;
SELECT '= 1.0', value FROM kv WHERE key = 1.0;
SELECT '= text 1', value FROM kv WHERE key = '1';
SELECT '= null', value FROM kv WHERE key = NULL;
SELECT 'is null', value FROM kv WHERE key IS NULL;
SELECT 'is 2', value FROM kv WHERE key IS 2;
SELECT 'not null', count(*) FROM kv WHERE key IS NOT NULL;
SELECT '<', group_concat(value) FROM kv WHERE key < 1;
SELECT '<=', group_concat(value) FROM kv WHERE key <= 1;
SELECT '>', group_concat(value) FROM kv WHERE key > 'a';
SELECT '>=', group_concat(value) FROM kv WHERE key >= 'a';
SELECT '> null', group_concat(value) FROM kv WHERE key > NULL;
SELECT '< null', group_concat(value) FROM kv WHERE key < NULL AND key > 0;
SELECT 'between', group_concat(value) FROM kv WHERE key BETWEEN 0 AND 2;
SELECT 'open', group_concat(value) FROM kv WHERE key > 0 AND key < 2;
SELECT 'half', group_concat(value) FROM kv WHERE key > 0 AND key <= 2;
SELECT 'empty', group_concat(value) FROM kv WHERE key > 2 AND key < 2;
SELECT 'crossed', group_concat(value) FROM kv WHERE key > 10 AND key < 1;
SELECT 'three', group_concat(value) FROM kv WHERE key > -2 AND key > 0 AND key < 100;
SELECT 'both', group_concat(value) FROM kv WHERE key = 'a' AND key > 'b';
SELECT 'numbers to text', group_concat(value) FROM kv WHERE key >= 1e10 AND key < 'a';
SELECT 'blobs', group_concat(value) FROM kv WHERE key >= x'';
SELECT 'text only', group_concat(value) FROM kv WHERE key >= '' AND key < x'';
SELECT 'desc range', group_concat(value) FROM (SELECT value FROM kv WHERE key > 0 AND key <= 'a' ORDER BY key DESC);
SELECT 'limit', group_concat(value) FROM (SELECT value FROM kv WHERE key >= 'A' ORDER BY key LIMIT 3);
SELECT 'offset', group_concat(value) FROM (SELECT value FROM kv ORDER BY key DESC LIMIT 2 OFFSET 1);
SELECT 'in', group_concat(value) FROM (SELECT value FROM kv WHERE key IN ('b', 1, x'00', 'none', NULL) ORDER BY key);
SELECT 'in desc', group_concat(value) FROM (SELECT value FROM kv WHERE key IN ('b', 1, x'00') ORDER BY key DESC);
SELECT 'not in', count(*) FROM kv WHERE key NOT IN ('b', 1, x'00');
SELECT 'or', group_concat(value) FROM kv WHERE key = 'a' OR key = 'b';
SELECT 'or range', group_concat(value) FROM (SELECT value FROM kv WHERE key < -1 OR key > x'61' ORDER BY value);
SELECT 'nocase', group_concat(value) FROM kv WHERE key = 'A' COLLATE NOCASE;
SELECT 'nocase range', group_concat(value) FROM kv WHERE key > 'A' COLLATE NOCASE AND key < 'C' COLLATE NOCASE;
SELECT 'nocase order', group_concat(value) FROM (SELECT value FROM kv WHERE key BETWEEN 'A' AND 'b' ORDER BY key COLLATE NOCASE, value);
SELECT 'glob', group_concat(value) FROM kv WHERE key GLOB 'a*';
SELECT 'like', group_concat(value) FROM kv WHERE key LIKE 'a%';
SELECT 'min max', quote(min(key)), quote(max(key)), count(*), sum(value) FROM kv;
SELECT 'group', typeof(key), count(*), min(value), max(value) FROM kv GROUP BY typeof(key) ORDER BY 2;
SELECT 'distinct', count(DISTINCT key) FROM kv;
SELECT 'order by key, value', group_concat(value) FROM (SELECT value FROM kv WHERE key >= 'a' ORDER BY key DESC, value);
SELECT 'order by value', group_concat(value) FROM (SELECT value FROM kv ORDER BY value DESC LIMIT 3);
-- a bound or key longer than any stored key can be
SELECT 'long =', count(*) FROM kv WHERE key = hex(zeroblob(400));
SELECT 'long <', count(*) FROM kv WHERE key < 'a' || hex(zeroblob(400));
SELECT 'long <=', count(*) FROM kv WHERE key <= 'a' || hex(zeroblob(400));
SELECT 'long >', count(*) FROM kv WHERE key > 'a' || hex(zeroblob(400));
SELECT 'long >=', count(*) FROM kv WHERE key >= 'a' || hex(zeroblob(400));
SELECT 'long between', count(*) FROM kv WHERE key > 'A' || hex(zeroblob(400)) AND key < 'b' || hex(zeroblob(400));
-- 262143 zeros are the longest text that fits: the bound of 262144 zeros lies just above it
INSERT INTO kv VALUES(substr(hex(zeroblob(131100)), 1, 262143), 22);
SELECT 'edge =', value FROM kv WHERE key = substr(hex(zeroblob(131100)), 1, 262143);
SELECT 'edge <', max(value) FROM kv WHERE key < substr(hex(zeroblob(131100)), 1, 262144) AND key > '';
SELECT 'edge <=', max(value) FROM kv WHERE key <= substr(hex(zeroblob(131100)), 1, 262144) AND key > '';
SELECT 'edge >', count(*) FROM kv WHERE key > substr(hex(zeroblob(131100)), 1, 262144) AND key < 'A';
SELECT 'edge >=', count(*) FROM kv WHERE key >= substr(hex(zeroblob(131100)), 1, 262144) AND key < 'A';
-- a row does not move out from under a query that reads it twice
SELECT count(*) FROM kv AS a, kv AS b WHERE a.key = b.key;
SELECT a.value, b.value FROM kv AS a JOIN kv AS b ON b.key > a.key WHERE a.key >= x'00' ORDER BY a.key, b.key;
