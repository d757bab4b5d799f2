-- txkv_recover(directory, 'dry-run') and 'rescue', on a store whose log is damaged.
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('store');
CREATE VIRTUAL TABLE temp.staff USING txkv('store', id INTEGER PRIMARY KEY, name TEXT UNIQUE, wage INT, INDEX(wage));
INSERT INTO kv VALUES('a', 1), ('b', 2);
SELECT txkv_checkpoint() ->> 'transactions';
INSERT INTO staff VALUES(1, 'Ann', 9);
INSERT INTO staff VALUES(2, 'Bob', 7);
UPDATE staff SET name = 'Bea' WHERE id = 2;
INSERT INTO kv VALUES(printf('%.*c', 600, 'k'), 3);
-- what is open is not looked at
SELECT txkv_recover('store', 'dry-run');
SELECT txkv_recover('kv', 'dry-run');
SELECT txkv_recover('kv', 'RESCUE');
-- a copy, as a crash would leave it, with a hole where Bob became Bea
.once at
SELECT lsn + 50 FROM txkv_log('kv') WHERE type = 'transaction' ORDER BY lsn DESC LIMIT 1 OFFSET 1;
.shell cp -r store copy && printf x | dd of=copy/wal/0000000000000000.wal bs=1 seek=$(cat at) conv=notrunc 2>/dev/null
.shell cp -pr copy before
SELECT type, tables FROM txkv_log('kv') WHERE type <> 'time' ORDER BY lsn DESC LIMIT 1 OFFSET 1;
SELECT j ->> 'opens', j ->> 'log_damaged', j ->> 'records' >= 2, j ->> 'records_behind' > 0, j ->> 'break_file', j ->> 'page_problems' FROM (SELECT txkv_recover('copy', 'dry-run') AS j);
.shell diff -r copy before && echo as before
SELECT txkv_recover('copy') IS NULL;
-- what is intact, and an index that fits it
SELECT j ->> 'tables', j ->> 'transactions', j ->> 'holes', j ->> 'indexes', j ->> 'saved' FROM (SELECT txkv_recover('copy', 'rescue') AS j);
SELECT row FROM txkv_scan('copy', 'staff');
SELECT length(key), value FROM txkv_scan('copy', 'kv');
SELECT txkv_check('copy') ->> 'problem_count';
SELECT j ->> 'opens', j ->> 'log_damaged' FROM (SELECT txkv_recover('copy', 'dry-run') AS j);
.shell cmp copy/wal/rescued-1/0000000000000000.wal before/wal/0000000000000000.wal && cmp copy/rescued-1/data.mdb before/data.mdb && echo kept
-- numbers in the pages of data.mdb that cannot be: the log still has the rows
.shell rm -r copy; cp -r store copy; for page in 2 3 4 5 6; do printf '\377\377' | dd of=copy/data.mdb bs=1 seek=$((page * 4096 + 12)) conv=notrunc 2>/dev/null; done
SELECT txkv_recover('copy') IS NULL;
SELECT j ->> 'opens', j ->> 'page_problems' FROM (SELECT txkv_recover('copy', 'dry-run') AS j);
SELECT txkv_recover('copy', 'rescue') ->> 'page_problems';
SELECT txkv_check('copy') ->> 'problem_count', (SELECT count(*) FROM txkv_scan('copy', 'kv')), (SELECT count(*) FROM txkv_scan('copy', 'staff'));
SELECT txkv_recover('nowhere', 'rescue');
