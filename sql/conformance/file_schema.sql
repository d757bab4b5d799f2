-- A table in a database file's schema: it is there again when the file is opened again.
.mode list
.open @DIR@/file.db
.load ./txkv
CREATE VIRTUAL TABLE kv USING txkv('store');
CREATE TABLE native(k PRIMARY KEY, v);
INSERT INTO kv VALUES('a', 1), ('b', 2);
BEGIN;
INSERT INTO kv VALUES('c', 3);
INSERT INTO native VALUES('c', 3);
COMMIT;
BEGIN;
INSERT INTO kv VALUES('d', 4);
INSERT INTO native VALUES('d', 4);
ROLLBACK;
.open @DIR@/file.db
.load ./txkv
SELECT group_concat(key || value), (SELECT group_concat(k || v) FROM native) FROM kv;
-- a transaction that reads a table of temp takes no lock on the file, in any journal mode
CREATE VIRTUAL TABLE temp.here USING txkv('store', table=kv);
BEGIN;
SELECT count(*) FROM here;
.shell sqlite3 -batch -init /dev/null file.db "INSERT INTO native VALUES('other process', 0)" 2>&1
INSERT INTO here VALUES('x', 0);
.shell sqlite3 -batch -init /dev/null file.db "INSERT INTO native VALUES('once more', 0)" 2>&1
SELECT count(*) FROM here;
ROLLBACK;
-- and a table of the file, in WAL mode, no lock that a writer would meet
PRAGMA journal_mode = wal;
BEGIN;
SELECT count(*) FROM kv;
.shell sqlite3 -batch -init /dev/null file.db "INSERT INTO native VALUES('with WAL', 0)" 2>&1
SELECT count(*) FROM kv;
COMMIT;
SELECT count(*) FROM native;
BEGIN;
SELECT count(*) FROM kv;
ROLLBACK;
BEGIN;
SELECT count(*) FROM kv;
ROLLBACK;
-- the schema changes while the table is in use: the store stays open
CREATE TABLE more(x);
SELECT count(*) FROM kv;
BEGIN;
INSERT INTO kv VALUES('e', 5);
CREATE TABLE gone(x);
SELECT count(*) FROM kv;
ROLLBACK;
SELECT count(*) FROM kv;
SAVEPOINT s;
SELECT count(*) FROM kv;
CREATE TABLE gone(x);
ROLLBACK TO s;
SELECT count(*) FROM kv;
INSERT INTO kv VALUES('f', 6);
RELEASE s;
SELECT count(*) FROM kv;
ATTACH ':memory:' AS side;
CREATE VIRTUAL TABLE side.kv2 USING txkv('store', table=kv);
SELECT count(*) FROM kv2;
DETACH side;
VACUUM;
SELECT count(*) FROM kv;
ALTER TABLE kv RENAME TO kv3;
SELECT count(*) FROM kv3;
ALTER TABLE kv3 RENAME TO kv;
-- the store is gone when the file is opened again: no new, empty one is made in silence
.open :memory:
.shell mv store moved
.open @DIR@/file.db
.load ./txkv
SELECT count(*) FROM kv;
.shell ls -d store 2>&1
.open :memory:
.shell mv moved store
.open @DIR@/file.db
.load ./txkv
SELECT count(*) FROM kv;
DROP TABLE kv;
SELECT name FROM sqlite_schema ORDER BY name;
