-- A txkv table in a file's schema and the native tables of that file are one commit.
.mode list
.open @DIR@/file.db
.load ./txkv
CREATE VIRTUAL TABLE kv USING txkv('store');
CREATE TABLE native(k PRIMARY KEY, v);
SELECT sql FROM sqlite_schema WHERE name = 'txkv_prepared';
SELECT 'before the first commit:', count(*) FROM txkv_prepared;
INSERT INTO kv VALUES('a', 1);
BEGIN;
INSERT INTO kv VALUES('b', 2);
INSERT INTO native VALUES('b', 2);
COMMIT;
SELECT 'one row for a store:', count(*), typeof(store), typeof(lsn) FROM txkv_prepared;
-- rolled back, by hand, to a savepoint, by a statement that fails
BEGIN;
INSERT INTO kv VALUES('c', 3);
INSERT INTO native VALUES('c', 3);
ROLLBACK;
BEGIN;
INSERT INTO kv VALUES('d', 4);
SAVEPOINT s;
INSERT INTO kv VALUES('e', 5);
INSERT INTO native VALUES('e', 5);
ROLLBACK TO s;
COMMIT;
BEGIN;
INSERT INTO native VALUES('f', 6);
INSERT OR ROLLBACK INTO kv VALUES('a', 6);
SELECT group_concat(key), (SELECT group_concat(k) FROM native) FROM kv;
-- RELEASE of the outermost savepoint commits; a transaction without native rows is one too
SAVEPOINT s;
INSERT INTO kv VALUES('g', 7);
INSERT INTO native VALUES('g', 7);
RELEASE s;
UPDATE kv SET value = value + 1 WHERE key = 'g';
SELECT value, (SELECT v FROM native WHERE k = 'g') FROM kv WHERE key = 'g';
-- what is undone before the commit leaves nothing to prepare
BEGIN;
SAVEPOINT s;
INSERT INTO kv VALUES('h', 8);
ROLLBACK TO s;
INSERT INTO native VALUES('h', 8);
COMMIT;
SELECT count(*) FROM native;
-- several stores, several tables of one, and a table of temp beside it
CREATE VIRTUAL TABLE kv2 USING txkv('store');
CREATE VIRTUAL TABLE other USING txkv('other');
CREATE VIRTUAL TABLE temp.here USING txkv('store', table=kv);
BEGIN;
INSERT INTO here VALUES('i', 9);
INSERT INTO kv2 VALUES('i', 9);
INSERT INTO other VALUES('i', 9);
INSERT INTO native VALUES('i', 9);
COMMIT;
SELECT count(*) FROM txkv_prepared;
SELECT kv.value, kv2.value, other.value, v FROM kv, kv2, other, native WHERE kv.key = 'i' AND k = 'i';
-- an attached file decides for its tables
ATTACH '@DIR@/side.db' AS side;
CREATE VIRTUAL TABLE side.third USING txkv('third');
CREATE TABLE side.rows(x);
BEGIN;
INSERT INTO third VALUES('j', 10);
INSERT INTO rows VALUES('j');
COMMIT;
SELECT (SELECT count(*) FROM main.txkv_prepared), (SELECT count(*) FROM side.txkv_prepared);
DROP TABLE third;
DETACH side;
-- temp and :memory: have no file: no table is made there, and the commit is txkv's alone
SELECT count(*) FROM temp.sqlite_schema WHERE name = 'txkv_prepared';
ATTACH ':memory:' AS m;
CREATE VIRTUAL TABLE m.kv4 USING txkv('third', table=third);
INSERT INTO kv4 VALUES('k', 11);
SELECT count(*) FROM m.sqlite_schema WHERE name = 'txkv_prepared';
ATTACH 'file:/shared?vfs=memdb' AS shared;
CREATE VIRTUAL TABLE shared.kv5 USING txkv('third', table=third);
SELECT group_concat(key) FROM kv5;
SELECT count(*) FROM shared.sqlite_schema WHERE name = 'txkv_prepared';
DROP TABLE kv4;
DROP TABLE kv5;
DETACH m;
DETACH shared;
-- a conflict is found before SQLite commits its part
.connection 1
.open @DIR@/file.db
.load ./txkv
CREATE VIRTUAL TABLE temp.here USING txkv('store', table=kv);
.connection 0
BEGIN;
SELECT value FROM kv WHERE key = 'a';
UPDATE kv SET value = 'lost' WHERE key = 'a';
INSERT INTO native VALUES('lost', 0);
.connection 1
UPDATE here SET value = 'won' WHERE key = 'a';
.connection 0
COMMIT;
SELECT value, (SELECT count(*) FROM native WHERE k = 'lost') FROM kv WHERE key = 'a';
-- a reader keeps SQLite from committing, in a rollback journal's mode: COMMIT again, or ROLLBACK
PRAGMA journal_mode;
.connection 1
BEGIN;
SELECT count(*) FROM native;
.connection 0
BEGIN;
INSERT INTO kv VALUES('l', 12);
INSERT INTO native VALUES('l', 12);
COMMIT;
.connection 1
SELECT 'not yet:', count(*) FROM here WHERE key = 'l';
COMMIT;
.connection 0
COMMIT;
SELECT value, (SELECT v FROM native WHERE k = 'l') FROM kv WHERE key = 'l';
.connection 1
BEGIN;
SELECT count(*) FROM native;
.connection 0
BEGIN;
INSERT INTO kv VALUES('m', 13);
INSERT INTO native VALUES('m', 13);
COMMIT;
-- it goes on, is refused again, and is rolled back
INSERT INTO kv VALUES('n', 14);
COMMIT;
ROLLBACK;
.connection 1
SELECT count(*) FROM here WHERE key IN ('m', 'n');
INSERT INTO here VALUES('o', 15);
COMMIT;
.connection 0
SELECT group_concat(key), (SELECT group_concat(k) FROM native) FROM kv;
-- the table is gone: COMMIT says so, and leaves nothing
DROP TABLE txkv_prepared;
INSERT INTO kv VALUES('p', 16);
SELECT count(*) FROM kv WHERE key = 'p';
CREATE VIRTUAL TABLE again USING txkv('store', table=kv2);
INSERT INTO kv VALUES('p', 16);
SELECT count(*) FROM kv WHERE key = 'p';
-- a table of that name that is somebody else's
ATTACH '@DIR@/foreign.db' AS f;
CREATE TABLE f.txkv_prepared(x);
CREATE VIRTUAL TABLE f.kv6 USING txkv('store', table=kv);
SELECT count(*) FROM f.sqlite_schema;
DETACH f;
-- the words of txkv_recover, when nothing is in doubt
SELECT json_extract(txkv_recover('kv', 'abort'), '$.salvaged'), json_extract(txkv_recover('kv', 'COMMIT'), '$.salvaged');
SELECT txkv_recover('kv', 'both');
