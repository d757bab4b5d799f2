-- archive_dir, txkv_archive and txkv_restore.
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('store', archive_dir='archive');
CREATE VIRTUAL TABLE temp.staff USING txkv('store', id INTEGER PRIMARY KEY, name TEXT UNIQUE, wage INT, INDEX(wage));
INSERT INTO kv VALUES('a', 1);
SELECT key, type FROM json_each(txkv_archive('kv'));
SELECT txkv_backup('store', 'backup') ->> 'rows';
INSERT INTO staff VALUES(1, 'Ann', 9), (2, 'Bob', 7);
.shell sleep 0.05
INSERT INTO kv VALUES('b', 2);
UPDATE staff SET wage = 8 WHERE name = 'Bob';
.shell sleep 0.05
DELETE FROM kv;
DELETE FROM staff;
CREATE TABLE temp.moments AS SELECT row_number() OVER (ORDER BY lsn) AS n, lsn, time FROM txkv_log('kv') WHERE type = 'transaction';
SELECT j ->> 'archive_dir', j ->> 'segments', j ->> 'lsn' > (SELECT max(lsn) FROM moments) FROM (SELECT txkv_archive('store') AS j);
-- everything, to an LSN, to a time; in any order, where the archive is
SELECT key, type FROM json_each(txkv_restore('backup', 'all'));
SELECT (SELECT count(*) FROM txkv_scan('all', 'kv')), (SELECT count(*) FROM txkv_scan('all', 'staff'));
SELECT j ->> 'transactions', j ->> 'rows', j ->> 'last_lsn' = (SELECT lsn FROM moments WHERE n = 4) FROM (SELECT txkv_restore('backup', 'point', 'until lsn=' || (SELECT lsn FROM moments WHERE n = 4)) AS j);
SELECT row FROM txkv_scan('point', 'kv');
SELECT row FROM txkv_scan('point', 'staff');
SELECT txkv_check('point') ->> 'problem_count';
SELECT j ->> 'transactions', j ->> 'last_time' = (SELECT time FROM moments WHERE n = 2) FROM (SELECT txkv_restore('backup', 'moment', 'archive = archive', 'UNTIL Time = ' || (SELECT time FROM moments WHERE n = 2)) AS j);
SELECT row FROM txkv_scan('moment', 'staff');
SELECT txkv_restore('backup', 'now', 'until time=now') ->> 'rows';
-- the restored store is one of its own
CREATE VIRTUAL TABLE temp.again USING txkv('point', table=staff, id INTEGER PRIMARY KEY, name TEXT UNIQUE, wage INT, INDEX(wage), archive_dir='archive 2');
INSERT INTO again VALUES(3, 'Cyd', 6);
SELECT name, wage FROM again WHERE wage > 6 ORDER BY wage;
SELECT txkv_archive('again') ->> 'segments';
-- what is refused
SELECT txkv_restore('backup', 'all');
SELECT txkv_restore('backup', 'x', 'until lsn=7');
SELECT txkv_restore('backup', 'x', 'until lsn=900000000');
SELECT txkv_restore('backup', 'x', 'until lsn=-1');
SELECT txkv_restore('backup', 'x', 'until time=tomorrow');
SELECT txkv_restore('backup', 'x', 'until lsn=900', 'until lsn=900');
SELECT txkv_restore('backup', 'x', 'before lsn=900');
SELECT txkv_restore('backup', 'x', 'archive=');
SELECT txkv_restore('backup', 'x', NULL);
SELECT txkv_restore(NULL, 'x');
SELECT txkv_restore('backup');
SELECT txkv_restore('nowhere', 'x');
SELECT txkv_restore('backup', 'x', 'archive=nowhere');
SELECT txkv_restore('backup', 'x', 'archive=archive 2');
SELECT txkv_restore('store', 'x');
.shell test ! -e x && echo nothing is left
SELECT txkv_archive(NULL);
SELECT txkv_archive('nowhere');
CREATE VIEW v AS SELECT txkv_archive('kv');
SELECT * FROM v;
CREATE VIEW w AS SELECT txkv_restore('backup', 'x');
SELECT * FROM w;
CREATE VIRTUAL TABLE temp.other USING txkv('store', archive_dir=elsewhere);
CREATE VIRTUAL TABLE temp.third USING txkv('third', archive_dir=archive);
-- an archive that cannot be written
.shell mv archive away
SELECT txkv_archive('kv');
SELECT name, value FROM txkv_stats WHERE store LIKE '%/store' AND name IN ('archive_dir', 'archive_error', 'archive_segments_waiting');
.shell mv away archive
SELECT txkv_archive('kv') ->> 'segments' >= 0;
SELECT name, value FROM txkv_stats WHERE store LIKE '%/store' AND name IN ('archive_dir', 'archive_error');
-- the end of it
CREATE VIRTUAL TABLE temp.off USING txkv('store', archive_dir=off);
SELECT txkv_archive('kv');
SELECT name, value FROM txkv_stats WHERE store LIKE '%/store' AND name IN ('archive_dir', 'archive_error');
