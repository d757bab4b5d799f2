-- txkv_backup: a store copied while it is open, and opened beside its source.
.mode list
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', wal_dir='@DIR@/log');
CREATE VIRTUAL TABLE temp.staff USING txkv('@DIR@/store', id INTEGER PRIMARY KEY, name TEXT UNIQUE, wage REAL);
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO kv SELECT i, 'value ' || i FROM n;
INSERT INTO staff VALUES(1, 'Ann', 9), (2, 'Bob', 7.5);
CREATE TABLE report(j);
INSERT INTO report SELECT txkv_backup('kv', '@DIR@/copy');
SELECT key, type FROM report, json_each(j) WHERE key <> 'milliseconds';
-- the index of staff is a table, too
SELECT j ->> 'store', j ->> 'target', j ->> 'tables', j ->> 'rows' FROM report;
SELECT 'at its LSN', j ->> 'lsn' = value FROM report, txkv_stats WHERE name = 'checkpoint_lsn';
SELECT name, value = (SELECT j ->> 'bytes' FROM report) FROM txkv_stats WHERE name LIKE 'backup_bytes%';
-- what comes after it is not in it, and what is written to it is not in the source
DELETE FROM kv WHERE key > 10;
UPDATE staff SET wage = 10;
CREATE VIRTUAL TABLE temp.then_kv USING txkv('@DIR@/copy', table=kv);
CREATE VIRTUAL TABLE temp.then_staff USING txkv('@DIR@/copy', table=staff, id INTEGER PRIMARY KEY, name TEXT UNIQUE, wage REAL);
SELECT count(*), sum(key) FROM kv;
SELECT count(*), sum(key) FROM then_kv;
SELECT * FROM then_staff WHERE name = 'Bob';
INSERT INTO then_kv VALUES('new', 1);
SELECT count(*) FROM kv WHERE key = 'new';
SELECT j ->> 'tables', j ->> 'rows', j ->> 'problem_count' FROM (SELECT txkv_check('@DIR@/copy') AS j);
-- rows are brought back with SQL
INSERT OR IGNORE INTO kv SELECT * FROM then_kv WHERE typeof(key) = 'integer';
SELECT count(*), sum(key) FROM kv;
-- a transaction that is not committed is not in it
BEGIN;
INSERT INTO kv VALUES('open', 1);
SELECT j ->> 'rows' FROM (SELECT txkv_backup('@DIR@/store', '@DIR@/second') AS j);
ROLLBACK;
-- a store that nobody has open, and a relative name
DROP TABLE then_kv;
DROP TABLE then_staff;
SELECT j ->> 'target', j ->> 'rows' FROM (SELECT txkv_backup('@DIR@/copy', 'third') AS j);
-- mistakes
SELECT txkv_backup('kv', '@DIR@/copy');
SELECT txkv_backup('kv', '@DIR@/nowhere/copy');
SELECT txkv_backup('nowhere', '@DIR@/fourth');
SELECT txkv_backup('kv', '');
SELECT txkv_backup('kv', NULL);
SELECT txkv_backup(NULL, 'x');
SELECT txkv_backup('kv');
CREATE VIEW v AS SELECT txkv_backup('kv', '@DIR@/fourth');
SELECT * FROM v;
