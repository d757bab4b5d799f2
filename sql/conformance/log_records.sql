-- txkv_log: the records of a store's log.
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('store');
CREATE VIRTUAL TABLE temp.staff USING txkv('store', id INTEGER PRIMARY KEY, name TEXT UNIQUE);
INSERT INTO kv VALUES('a', 1), ('b', 2);
SELECT type, tables, operations, bytes, durable, checkpointed FROM txkv_log('kv') WHERE type <> 'time';
-- the log says when; all of it is of now
SELECT count(*) > 0, min(bytes), max(bytes), max(operations), max(tables) FROM txkv_log('kv') WHERE type = 'time';
SELECT count(*) FROM txkv_log('kv') WHERE time IS NULL OR abs(julianday(time) - julianday('now')) * 86400 > 60;
SELECT length(time), count(DISTINCT substr(time, 20, 1)) FROM txkv_log('kv') WHERE type = 'transaction';
-- a transaction over two tables; what was moved is still in the file
SELECT txkv_checkpoint() ->> 'transactions' > 0;
BEGIN;
INSERT INTO staff VALUES(1, 'Ann'), (2, 'Bob');
DELETE FROM kv WHERE key = 'a';
COMMIT;
SELECT type, tables, operations, durable, checkpointed FROM txkv_log('@DIR@/store') WHERE type = 'transaction';
-- names are those of now; those of dropped tables their last ones
ALTER TABLE staff RENAME TO people;
SELECT txkv_drop('store', 'kv') ->> 'rows';
SELECT type, tables FROM txkv_log('store') WHERE NOT checkpointed AND type <> 'time';
-- ranges and order
SELECT group_concat(lsn) FROM txkv_log('store') WHERE lsn <= 120 AND lsn > 64;
SELECT lsn FROM txkv_log('store') WHERE lsn = 64;
SELECT lsn FROM txkv_log('store') WHERE lsn = 65;
SELECT count(*) FROM txkv_log('store') WHERE lsn > 'x';
SELECT count(*) FROM txkv_log('store') WHERE lsn >= NULL;
SELECT count(*) FROM txkv_log('store') WHERE lsn < -1;
SELECT lsn FROM txkv_log('store') WHERE lsn < 1e30 ORDER BY lsn LIMIT 1;
SELECT count(*) > 1 AND count(DISTINCT l.lsn) = count(*) FROM (SELECT 'store' AS s), txkv_log(s) AS l;
EXPLAIN QUERY PLAN SELECT lsn FROM txkv_log('store') ORDER BY lsn;
EXPLAIN QUERY PLAN SELECT lsn FROM txkv_log('store') ORDER BY lsn DESC;
-- read-only, and what it needs
SELECT * FROM txkv_log;
SELECT * FROM txkv_log(NULL);
SELECT * FROM txkv_log('nowhere');
DELETE FROM txkv_log;
CREATE VIRTUAL TABLE temp.l USING txkv_log;
