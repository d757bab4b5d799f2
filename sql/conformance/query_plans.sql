-- What the planner is told: seeks instead of scans, and no sorter where the key gives the order.
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
CREATE TABLE native(id INTEGER PRIMARY KEY, k, note);
.eqp on
.mode list
SELECT value FROM kv WHERE key = 'a';
SELECT value FROM kv WHERE key IS 'a';
SELECT value FROM kv WHERE key > 'a';
SELECT value FROM kv WHERE key >= 'a';
SELECT value FROM kv WHERE key < 'a';
SELECT value FROM kv WHERE key <= 'a';
SELECT value FROM kv WHERE key > 'a' AND key <= 'b' ORDER BY key;
SELECT value FROM kv WHERE key BETWEEN 'a' AND 'b' ORDER BY key DESC;
SELECT value FROM kv ORDER BY key;
SELECT value FROM kv ORDER BY key DESC;
SELECT value FROM kv ORDER BY key, value;
SELECT value FROM kv ORDER BY key DESC LIMIT 10;
SELECT key, count(*) FROM kv GROUP BY key;
SELECT DISTINCT key FROM kv;
SELECT max(key) FROM kv;
SELECT value FROM kv WHERE key = 'a' ORDER BY value;
SELECT value FROM kv WHERE key = 'a' COLLATE NOCASE;
SELECT value FROM kv ORDER BY value;
SELECT note, value FROM native JOIN kv ON kv.key = native.k;
SELECT note, value FROM kv JOIN native ON native.id = kv.key;
UPDATE kv SET value = 1 WHERE key = 'a';
DELETE FROM kv WHERE key > 'a';
