-- as native: keys of up to 64 KiB and more, from memory, then, opened again, from the file, changed there, and again.
.open @DIR@/app.db
.load ./txkv
CREATE VIRTUAL TABLE kv USING txkv('@DIR@/store');
CREATE VIRTUAL TABLE doc USING txkv('@DIR@/store', a TEXT, b BLOB, c TEXT COLLATE NOCASE, n INT, PRIMARY KEY(a, b), UNIQUE(c), INDEX(b, n)); -- native: CREATE TABLE doc(a TEXT, b BLOB, c TEXT COLLATE NOCASE, n INT, PRIMARY KEY(a, b), UNIQUE(c)) WITHOUT ROWID; CREATE INDEX by_b ON doc(b, n);
CREATE TEMP TABLE long(name TEXT PRIMARY KEY, t TEXT) WITHOUT ROWID;
-- lengths at and about the boundaries of what stands in one piece: 510 and 511 with the tag, and 499 more each time
INSERT INTO long WITH n(i) AS (VALUES(1), (509), (510), (511), (1008), (1009), (1010), (1507), (1508), (1509), (65535), (65536), (65537))
    SELECT 'k' || i, printf('%.*c', i, 'k') FROM n;
INSERT INTO kv SELECT t, name FROM long;
INSERT INTO kv SELECT t || 'a', name || 'a' FROM long;
INSERT INTO kv SELECT substr(t, 2) || 'z', name || 'z' FROM long;
INSERT INTO kv SELECT CAST(t AS BLOB), name || ' blob' FROM long WHERE length(t) > 1000;
INSERT INTO kv VALUES(zeroblob(1200), '1200 zeros'), (zeroblob(1201), '1201 zeros'), (7, 'seven');
INSERT INTO doc SELECT t, zeroblob(length(t) % 3000), 'U' || t, length(t) FROM long;
INSERT INTO doc SELECT t, x'02', 'u' || t || 'v', -length(t) FROM long;
SELECT value, length(key), typeof(key) FROM kv ORDER BY key;
SELECT group_concat(value) FROM (SELECT value FROM kv ORDER BY key DESC);
SELECT length(a), length(b), length(c), n FROM doc ORDER BY a, b;
-- closing the last connection moves all of it to the file
.open @DIR@/app.db
.load ./txkv
CREATE TEMP TABLE long(name TEXT PRIMARY KEY, t TEXT) WITHOUT ROWID;
INSERT INTO long WITH n(i) AS (VALUES(1), (509), (510), (511), (1008), (1009), (1010), (1507), (1508), (1509), (65535), (65536), (65537))
    SELECT 'k' || i, printf('%.*c', i, 'k') FROM n;
SELECT value, length(key), typeof(key) FROM kv ORDER BY key;
SELECT group_concat(value) FROM (SELECT value FROM kv ORDER BY key DESC);
SELECT length(a), length(b), length(c), n FROM doc ORDER BY a DESC, b DESC;
-- one key, and ranges with either end, open and closed, in either direction
SELECT name, (SELECT value FROM kv WHERE key = t), (SELECT count(*) FROM kv WHERE key = t || 'b') FROM long ORDER BY length(t);
SELECT name, (SELECT count(*) FROM kv WHERE key < t), (SELECT count(*) FROM kv WHERE key <= t) FROM long ORDER BY length(t);
SELECT name, (SELECT count(*) FROM kv WHERE key > t), (SELECT count(*) FROM kv WHERE key >= t) FROM long ORDER BY length(t);
SELECT a.name, b.name, (SELECT group_concat(value) FROM (SELECT value FROM kv WHERE key > a.t AND key < b.t ORDER BY key DESC))
    FROM long AS a, long AS b WHERE length(a.t) > 500 AND length(a.t) < 1100 AND length(b.t) > 1500 ORDER BY length(a.t), length(b.t);
SELECT name, (SELECT value FROM kv WHERE key >= t || 'b' ORDER BY key LIMIT 1), (SELECT value FROM kv WHERE key <= t || 'b' ORDER BY key DESC LIMIT 1) FROM long ORDER BY length(t);
SELECT name, (SELECT n FROM doc WHERE c = 'u' || upper(t)), (SELECT n FROM doc WHERE c = 'U' || t || 'V') FROM long ORDER BY length(t);
SELECT name, (SELECT group_concat(n) FROM doc WHERE a = t), (SELECT n FROM doc WHERE a = t AND b = x'02') FROM long ORDER BY length(t);
SELECT length(b), group_concat(n) FROM (SELECT b, n FROM doc WHERE b >= zeroblob(500) ORDER BY b DESC, n) GROUP BY b ORDER BY +b;
SELECT value FROM kv WHERE key IN (zeroblob(1200), zeroblob(1201), zeroblob(1202)) ORDER BY key;
-- UNIQUE and PRIMARY KEY
INSERT INTO kv SELECT t, 0 FROM long WHERE name = 'k65536';
INSERT INTO doc SELECT t || 'w', x'02', 'u' || t, 0 FROM long WHERE name = 'k65537';
INSERT INTO doc SELECT t, x'02', 'w' || t, 0 FROM long WHERE name = 'k65537';
INSERT OR IGNORE INTO doc SELECT t, x'02', t, 0 FROM long;
REPLACE INTO doc SELECT t, x'01', 'U' || t, 1 FROM long WHERE name IN ('k510', 'k65536');
SELECT length(a), length(b), length(c), n FROM doc WHERE length(a) IN (510, 65536) ORDER BY a, b;
UPDATE doc SET c = c || 'x' WHERE n < -1000;
UPDATE doc SET a = 'moved' || a WHERE n > 1500;
UPDATE kv SET key = key || 'moved' WHERE value IN ('k510', 'k1009', 'k65536');
UPDATE kv SET value = value || ' changed' WHERE key > 'kk' AND value LIKE '%z';
DELETE FROM kv WHERE length(key) IN (511, 1010, 65537);
DELETE FROM doc WHERE length(a) IN (511, 1010);
SELECT value, length(key) FROM kv ORDER BY key;
SELECT length(a), length(b), length(c), n FROM doc ORDER BY c;
.open @DIR@/app.db
.load ./txkv
SELECT value, length(key) FROM kv ORDER BY key DESC;
SELECT length(a), length(b), length(c), n FROM doc ORDER BY c DESC;
SELECT length(b), n FROM doc ORDER BY b, n;
-- within a transaction, undone and not
BEGIN;
DELETE FROM kv WHERE key > 'kk';
SELECT count(*) FROM kv;
SAVEPOINT s;
INSERT INTO kv VALUES(printf('%.70000c', 'k'), 'new');
SELECT value FROM kv WHERE key > printf('%.69999c', 'k') AND key < 'l';
ROLLBACK TO s;
SELECT count(*) FROM kv;
ROLLBACK;
SELECT count(*) FROM kv;
DELETE FROM kv;
DELETE FROM doc;
.open @DIR@/app.db
.load ./txkv
SELECT count(*) FROM kv;
SELECT count(*) FROM doc;
