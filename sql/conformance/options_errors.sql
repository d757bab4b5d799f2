-- Options are refused by name, and an error leaves no table behind.
.mode list
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv;
CREATE VIRTUAL TABLE temp.kv USING txkv('');
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', sync=fast);
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', synk=full);
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', flush_interval_ms=soon);
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', flush_interval_ms=0);
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', checkpoint_interval=100000);
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', checkpoint_bytes=1);
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', map_size=-1);
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', overlay_limit=1e6);
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', stall_timeout_ms=3600001);
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', table='');
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', sync=full, sync=off);
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', id INTEGER PRIMARY KEY, n DEFAULT 0);
SELECT count(*) FROM sqlite_temp_schema;
SELECT 'open stores', count(DISTINCT store) FROM txkv_stats;
-- all of them at once, in any case and spacing
CREATE VIRTUAL TABLE temp.kv USING txkv("@DIR@/store", Sync = 'normal', table=T, flush_interval_ms=20,
  checkpoint_interval=30, checkpoint_bytes='1MiB', map_size='64MiB', overlay_limit="32 MiB", stall_timeout_ms=500,
  wal_dir='@DIR@/log');
INSERT INTO kv VALUES(1, 1);
SELECT * FROM kv;
.shell ls -d log/*.wal | wc -l
-- what an open store cannot change is refused
CREATE VIRTUAL TABLE temp.other USING txkv('@DIR@/store', wal_dir='@DIR@/log2');
CREATE VIRTUAL TABLE temp.other USING txkv('@DIR@/store', stall_timeout_ms=100);
INSERT INTO other VALUES(1, 1);
SELECT * FROM other;
