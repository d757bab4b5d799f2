-- as native: BEGIN, COMMIT, ROLLBACK.
.load ./txkv
.mode list
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
CREATE TABLE native(x);
BEGIN;
INSERT INTO kv VALUES('a', 1), ('b', 2);
SELECT 'own writes', group_concat(key || value) FROM kv;
UPDATE kv SET value = 10 WHERE key = 'a';
DELETE FROM kv WHERE key = 'b';
INSERT INTO kv VALUES('c', 3);
SELECT 'own writes', group_concat(key || value) FROM kv;
SELECT 'descending', group_concat(key || value) FROM (SELECT * FROM kv ORDER BY key DESC);
SELECT 'point', value FROM kv WHERE key = 'a';
SELECT 'deleted', value FROM kv WHERE key = 'b';
COMMIT;
SELECT 'committed', group_concat(key || value) FROM kv;
BEGIN;
DELETE FROM kv;
INSERT INTO kv VALUES('z', 26);
INSERT INTO native VALUES(1);
SELECT 'inside', group_concat(key || value), (SELECT count(*) FROM native) FROM kv;
ROLLBACK;
SELECT 'rolled back', group_concat(key || value), (SELECT count(*) FROM native) FROM kv;
-- a transaction that only reads, one that does nothing, and one that failed
BEGIN;
SELECT count(*) FROM kv;
SELECT count(*) FROM kv WHERE key > 'b';
COMMIT;
BEGIN;
COMMIT;
BEGIN;
SELECT count(*) FROM kv;
ROLLBACK;
BEGIN IMMEDIATE;
INSERT INTO kv VALUES('d', 4);
INSERT INTO kv VALUES('a', 0);
INSERT INTO kv VALUES('e', 5);
COMMIT;
SELECT 'the rest stays', group_concat(key || value) FROM kv;
-- write, read, write in turns, more than once
BEGIN;
SELECT count(*) FROM kv;
INSERT INTO kv VALUES('f', 6);
SELECT count(*) FROM kv;
INSERT INTO kv VALUES('g', 7);
SELECT count(*) FROM kv;
DELETE FROM kv WHERE key >= 'f';
SELECT count(*) FROM kv;
COMMIT;
BEGIN;
INSERT INTO kv SELECT key || '2', value FROM kv;
UPDATE kv SET value = value + 1;
COMMIT;
SELECT group_concat(key || value) FROM kv;
BEGIN;
BEGIN;
COMMIT;
COMMIT;
ROLLBACK;
-- a large one
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO kv SELECT i * 7919 % 20011, i FROM n;
SELECT count(*), sum(value), min(key), max(key) FROM kv WHERE typeof(key) = 'integer';
SELECT value FROM kv WHERE key = 7919;
COMMIT;
SELECT count(*), sum(value) FROM kv WHERE key < '';
BEGIN;
DELETE FROM kv WHERE key < '';
SELECT count(*) FROM kv WHERE key < '';
ROLLBACK;
SELECT count(*) FROM kv WHERE key < '';
DELETE FROM kv WHERE key < 10000;
SELECT count(*) FROM kv WHERE key < '';
