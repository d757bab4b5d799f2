-- txkv_checkpoint, txkv_recover, txkv_version and the table txkv_stats.
.mode list
.load ./txkv
SELECT txkv_version() GLOB '[0-9]*.[0-9]*.[0-9]*';
SELECT txkv_checkpoint();
SELECT txkv_recover();
SELECT count(*) FROM txkv_stats;
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
INSERT INTO kv VALUES('a', 1), ('b', 2);
INSERT INTO kv VALUES('c', 3);
DELETE FROM kv WHERE key = 'a';
CREATE TABLE report(j);
INSERT INTO report SELECT txkv_checkpoint();
SELECT key, type FROM report, json_each(j) WHERE key <> 'milliseconds';
SELECT j ->> 'store', j ->> 'rows_put', j ->> 'rows_deleted', j ->> 'bytes' > 0, j ->> 'to_lsn' > j ->> 'from_lsn',
  j ->> 'milliseconds' >= 0 FROM report;
-- the table's definition is a record of the log too
SELECT j ->> 'transactions' FROM report;
SELECT 'again', j ->> 'transactions', j ->> 'bytes' FROM (SELECT txkv_checkpoint('kv') AS j);
SELECT 'by directory', j ->> 'transactions' FROM (SELECT txkv_checkpoint('@DIR@/store') AS j);
SELECT 'relative', j ->> 'store' FROM (SELECT txkv_checkpoint('store') AS j);
DELETE FROM report;
INSERT INTO kv VALUES('d', 4);
INSERT INTO kv VALUES('e', 5), ('f', 6);
INSERT INTO report SELECT txkv_recover();
SELECT key, type FROM report, json_each(j) WHERE key <> 'milliseconds';
SELECT key, type FROM report, json_each(j, '$.verified') WHERE key <> 'milliseconds';
SELECT j ->> '$.verified.transactions', j ->> '$.verified.operations', j ->> '$.verified.bytes' > 0 FROM report;
-- several stores: an array
CREATE VIRTUAL TABLE temp.other USING txkv('@DIR@/second');
SELECT json_array_length(txkv_checkpoint()), json_array_length(txkv_recover());
SELECT 'one of them', j ->> 'store' FROM (SELECT txkv_checkpoint('OTHER') AS j);
-- mistakes
SELECT txkv_checkpoint('nowhere');
SELECT txkv_recover('nowhere');
SELECT txkv_checkpoint(NULL);
SELECT txkv_recover('@DIR@/second', 'mend');
SELECT txkv_recover('other', 'salvage');
SELECT txkv_checkpoint('kv', 'x');
CREATE VIEW v AS SELECT txkv_checkpoint();
SELECT * FROM v;
-- a store that nobody has open is opened for the call
DROP TABLE other;
SELECT j ->> 'store', j ->> 'transactions_replayed', j ->> '$.verified.transactions' FROM (SELECT txkv_recover('@DIR@/second') AS j);
SELECT count(DISTINCT store) FROM txkv_stats;
-- what the statistics are
SELECT name, unit FROM txkv_stats WHERE name IN ('commits', 'groups', 'fdatasyncs', 'published_lsn', 'durable_lsn',
  'checkpoint_lsn', 'overlay_bytes', 'memtables', 'checkpoints', 'live_snapshots', 'conflicts', 'stalls') ORDER BY name;
SELECT name, value FROM txkv_stats WHERE name IN ('commits', 'conflicts', 'live_snapshots', 'stalls') ORDER BY name;
SELECT 'unexplained', name FROM txkv_stats WHERE length(meaning) < 10 OR name IS NULL OR unit IS NULL OR store <> '@DIR@/store';
SELECT 'ordered', p.value = d.value AND d.value >= c.value FROM txkv_stats p, txkv_stats d, txkv_stats c
  WHERE p.name = 'published_lsn' AND d.name = 'durable_lsn' AND c.name = 'checkpoint_lsn';
BEGIN;
SELECT count(*) FROM kv;
SELECT name, value FROM txkv_stats WHERE name = 'live_snapshots';
COMMIT;
SELECT name, value FROM txkv_stats WHERE name = 'live_snapshots';
INSERT INTO txkv_stats VALUES(1, 2, 3, 4, 5);
