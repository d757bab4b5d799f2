-- Every read between BEGIN and COMMIT sees one state, in transactions that only read too; a statement of its own
-- sees what is committed when it starts. Two connections of one process: 0 and 1.
.mode list
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
INSERT INTO kv VALUES('a', 1), ('b', 1);
.connection 1
.open :memory:
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
SELECT '1 sees', group_concat(key || value) FROM kv;
-- a read-only transaction in 1, a commit in 0 in the middle of it
BEGIN;
SELECT '1 begins', group_concat(key || value) FROM kv;
.connection 0
UPDATE kv SET value = 2;
INSERT INTO kv VALUES('c', 2);
SELECT '0 committed', group_concat(key || value) FROM kv;
.connection 1
SELECT '1 still', group_concat(key || value) FROM kv;
SELECT '1 point', value FROM kv WHERE key = 'a';
SELECT '1 absent', value FROM kv WHERE key = 'c';
COMMIT;
SELECT '1 fresh', group_concat(key || value) FROM kv;
BEGIN;
SELECT '1 next transaction', group_concat(key || value) FROM kv;
ROLLBACK;
-- the snapshot is taken by the first read, not by BEGIN
BEGIN;
.connection 0
REPLACE INTO kv VALUES('a', 3);
.connection 1
SELECT '1 first read', value FROM kv WHERE key = 'a';
.connection 0
REPLACE INTO kv VALUES('a', 4);
.connection 1
SELECT '1 second read', value FROM kv WHERE key = 'a';
ROLLBACK;
SELECT '1 after rollback', value FROM kv WHERE key = 'a';
-- uncommitted rows are seen by their own transaction alone
BEGIN;
INSERT INTO kv VALUES('u', 1);
SELECT '1 sees u', count(*) FROM kv WHERE key = 'u';
.connection 0
SELECT '0 sees u', count(*) FROM kv WHERE key = 'u';
.connection 1
ROLLBACK;
-- a checkpoint between two reads changes nothing
BEGIN;
SELECT '1 before', group_concat(key || value) FROM kv;
.connection 0
DELETE FROM kv WHERE key = 'b';
SELECT '0 checkpoints', json_extract(txkv_checkpoint(), '$.rows_deleted');
.connection 1
SELECT '1 after', group_concat(key || value) FROM kv;
COMMIT;
SELECT '1 fresh', group_concat(key || value) FROM kv;
-- first committer wins on a key that both have read and written
BEGIN;
UPDATE kv SET value = value + 10 WHERE key = 'a';
.connection 0
UPDATE kv SET value = value + 100 WHERE key = 'a';
.connection 1
COMMIT;
SELECT '1 lost', value FROM kv WHERE key = 'a';
BEGIN;
UPDATE kv SET value = value + 10 WHERE key = 'a';
COMMIT;
SELECT '1 ran again', value FROM kv WHERE key = 'a';
-- a duplicate key is found out at COMMIT when the other one came later
BEGIN;
INSERT INTO kv VALUES('dup', 'from 1');
.connection 0
INSERT INTO kv VALUES('dup', 'from 0');
.connection 1
COMMIT;
SELECT value FROM kv WHERE key = 'dup';
-- writing without having read never conflicts: the last one counts
BEGIN;
REPLACE INTO kv VALUES('blind', 'from 1');
.connection 0
REPLACE INTO kv VALUES('blind', 'from 0');
.connection 1
COMMIT;
SELECT value FROM kv WHERE key = 'blind';
-- different keys never conflict
BEGIN;
UPDATE kv SET value = 'one' WHERE key = 'a';
.connection 0
UPDATE kv SET value = 'zero' WHERE key = 'c';
.connection 1
COMMIT;
SELECT group_concat(key || value) FROM kv WHERE key IN ('a', 'c');
-- inside a savepoint as well, and after ROLLBACK TO
SAVEPOINT s;
SELECT '1 savepoint', value FROM kv WHERE key = 'c';
.connection 0
REPLACE INTO kv VALUES('c', 'newer');
.connection 1
SELECT '1 same', value FROM kv WHERE key = 'c';
ROLLBACK TO s;
SELECT '1 same', value FROM kv WHERE key = 'c';
RELEASE s;
SELECT '1 fresh', value FROM kv WHERE key = 'c';
