-- Bad directories, keys and names: each is refused with a sentence that says what and how to go on.
.mode list
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/missing/store');
.shell echo text > file
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/file');
.shell mkdir foreign && echo text > foreign/data.mdb
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/foreign');
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
INSERT INTO kv VALUES('a', 1);
-- keys
INSERT INTO kv VALUES(hex(zeroblob(200000)), 1);
INSERT INTO kv VALUES(zeroblob(262144), 1);
INSERT INTO kv VALUES(zeroblob(262143), 1);
UPDATE kv SET key = hex(zeroblob(200000)) WHERE key = 'a';
UPDATE OR IGNORE kv SET key = hex(zeroblob(200000)) WHERE key = 'a';
SELECT count(*), count(DISTINCT key) FROM kv;
INSERT INTO kv VALUES(1, 2, 3);
INSERT INTO kv(nothing) VALUES(1);
INSERT INTO kv VALUES('a', 1) ON CONFLICT(key) DO UPDATE SET value = 2;
SELECT rowid FROM kv;
CREATE INDEX temp.i ON kv(value);
-- the same name twice, and the internal table's
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
INSERT INTO txkv_transaction VALUES(1);
BEGIN;
SELECT count(*) FROM kv;
DROP TABLE temp.txkv_transaction;
COMMIT;
DROP TABLE temp.txkv_transaction;
CREATE TABLE temp.txkv_transaction(x);
BEGIN;
SELECT count(*) FROM kv;
ROLLBACK;
DROP TABLE temp.txkv_transaction;
BEGIN;
SELECT count(*) FROM kv;
ROLLBACK;
-- where writing is forbidden, a read-only transaction says so
PRAGMA query_only = 1;
SELECT count(*) FROM kv;
INSERT INTO kv VALUES('q', 1);
BEGIN;
SELECT count(*) FROM kv;
ROLLBACK;
PRAGMA query_only = 0;
INSERT INTO kv VALUES('q', 1);
SELECT count(*) FROM kv;
-- loading twice changes nothing
.load ./txkv
INSERT INTO kv VALUES('r', 1);
BEGIN;
SELECT count(*) FROM kv;
COMMIT;
