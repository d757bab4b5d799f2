-- as native: a statement that fails half-way leaves nothing, inside a transaction and outside.
.load ./txkv
.mode list
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
CREATE TABLE input(k, v);
INSERT INTO input VALUES('a', 1), ('b', 2), ('taken', 3), ('c', 4);
INSERT INTO kv VALUES('taken', 0);
INSERT INTO kv SELECT k, v FROM input;
SELECT 'outside', group_concat(key || value) FROM kv;
BEGIN;
INSERT INTO kv VALUES('before', 1);
INSERT INTO kv SELECT k, v FROM input;
SELECT 'inside', group_concat(key || value) FROM kv;
UPDATE kv SET key = 'same';
SELECT 'inside', group_concat(key || value) FROM kv;
INSERT INTO kv VALUES('after', 2);
COMMIT;
SELECT 'committed', group_concat(key || value) FROM kv;
BEGIN;
INSERT INTO kv SELECT k, v FROM input;
COMMIT;
SELECT 'first statement fails', group_concat(key || value) FROM kv;
BEGIN;
INSERT OR FAIL INTO kv SELECT k, v FROM input;
SELECT 'fail keeps', group_concat(key || value) FROM kv;
ROLLBACK;
INSERT OR FAIL INTO kv SELECT k, v FROM input;
SELECT 'fail keeps', group_concat(key || value) FROM kv;
DELETE FROM kv WHERE key IN ('a', 'b');
BEGIN;
INSERT INTO kv VALUES('x', 1);
INSERT OR ROLLBACK INTO kv SELECT k, v FROM input;
COMMIT;
SELECT 'rollback', group_concat(key || value) FROM kv;
-- an error that comes from an expression
BEGIN;
INSERT INTO kv VALUES('y', 1);
INSERT INTO kv SELECT k || '!', CASE WHEN k = 'c' THEN abs(-9223372036854775808) ELSE v END FROM input;
UPDATE kv SET value = CASE WHEN key = 'y' THEN abs(-9223372036854775808) ELSE 99 END;
DELETE FROM kv WHERE CASE WHEN key = 'y' THEN abs(-9223372036854775808) ELSE true END;
COMMIT;
SELECT 'expressions', group_concat(key || value) FROM kv;
-- a native table in the same statement goes back as well
CREATE TABLE log(k UNIQUE);
BEGIN;
INSERT INTO log SELECT key FROM kv UNION ALL SELECT 'y';
SELECT count(*) FROM log;
INSERT INTO log SELECT key FROM kv;
COMMIT;
SELECT count(*) FROM log;
