-- What was committed is there after the store is closed and opened again, and what was not is not.
.mode list
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('store');
INSERT INTO kv VALUES('a', 1), (2, x'00ff'), (3.5, NULL);
CREATE VIRTUAL TABLE temp.lazy USING txkv('store', sync=off);
INSERT INTO lazy VALUES('l', 'written with sync=off');
BEGIN;
INSERT INTO kv VALUES('open', 'never committed');
.open :memory:
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('store');
SELECT quote(key), quote(value) FROM kv;
CREATE VIRTUAL TABLE temp.lazy USING txkv('store', sync=off);
SELECT * FROM lazy;
UPDATE kv SET value = 'second' WHERE key = 'a';
DELETE FROM kv WHERE key = 2;
SELECT txkv_checkpoint() ->> 'rows_deleted';
INSERT INTO kv VALUES('z', 26);
.open :memory:
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
SELECT quote(key), quote(value) FROM kv;
-- another connection's store is the same one, and a table needs no connection to survive
DROP TABLE kv;
CREATE VIRTUAL TABLE temp.kv USING txkv('./store');
SELECT count(*) FROM kv;
-- another process reads and writes it while it is open here, and afterwards
.shell sqlite3 -batch -init /dev/null :memory: ".load ./txkv" "CREATE VIRTUAL TABLE temp.kv USING txkv('store')" "INSERT INTO kv VALUES('other', 1) RETURNING key" 2>&1
SELECT * FROM kv WHERE key = 'other';
DROP TABLE kv;
.shell sqlite3 -batch -init /dev/null :memory: ".load ./txkv" "CREATE VIRTUAL TABLE temp.kv USING txkv('store')" "SELECT count(*) FROM kv" 2>&1
