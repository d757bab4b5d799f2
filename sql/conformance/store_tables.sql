-- The tables that stand in a store: listed, read, renamed, dropped, checked; two processes.
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('store');
INSERT INTO kv VALUES(1, 'one'), (1.5, 2.0), ('k', x'00ff'), (x'01', NULL), ('big', 9223372036854775807);
CREATE VIRTUAL TABLE temp.u USING txkv('store', id INTEGER PRIMARY KEY, n TEXT COLLATE NOCASE UNIQUE, x REAL, INDEX(x));
INSERT INTO u VALUES(1, 'Xy', 3), (5, NULL, 0.1), (6, 'a"b' || char(10), 1e300);
CREATE VIRTUAL TABLE temp.w USING txkv('store', a TEXT COLLATE NOCASE, b INT, c BLOB, PRIMARY KEY(a, b));
INSERT INTO w VALUES('Pq', 1.5, 2), ('r', -9223372036854775807 - 1, x'');
-- the list: indexes belong to their table
SELECT name, columns, rows, bytes > 0 FROM txkv_tables;
SELECT name FROM txkv_tables WHERE store LIKE '%/store' ORDER BY name DESC LIMIT 1;
SELECT sum(rows) FROM txkv_tables('store');
SELECT sum(rows) FROM txkv_tables('w');
SELECT txkv_checkpoint() ->> 'rows_put';
SELECT name, rows FROM txkv_tables('store');
DELETE FROM kv WHERE key = 'k';
UPDATE kv SET value = 'uno' WHERE key = 1;
SELECT rows FROM txkv_tables('store') WHERE name = 'kv';
-- rows of any table, with their types
SELECT quote(key), quote(value), row FROM txkv_scan('store', 'kv');
SELECT key, value, row, row ->> 'n', typeof(row ->> 'x') FROM txkv_scan('u', 'u');
SELECT key, row ->> 'a', typeof(row ->> 'b'), row ->> 'b', row FROM txkv_scan('store', 'w');
SELECT count(*) FROM txkv_tables('store') AS t, txkv_scan('store', t.name);
SELECT * FROM txkv_scan('store');
SELECT * FROM txkv_scan;
SELECT * FROM txkv_scan(NULL, 'kv');
SELECT * FROM txkv_scan('store', 'nope');
SELECT * FROM txkv_scan('store', 'u' || char(1) || '1');
SELECT * FROM txkv_scan('nowhere', 'kv');
SELECT * FROM txkv_tables('nowhere');
SELECT * FROM txkv_tables(NULL);
SELECT txkv_check('nowhere');
SELECT txkv_drop('nowhere', 'kv');
.shell ls
DELETE FROM txkv_tables;
-- renaming, seen by another process at the COMMIT
.shell echo "SELECT name FROM txkv_tables('store');" >list.sql
BEGIN;
ALTER TABLE u RENAME TO v;
INSERT INTO v VALUES(7, 'c', NULL);
SELECT count(*) FROM v;
.shell sqlite3 -batch -init /dev/null :memory: ".load ./txkv" ".read list.sql"
COMMIT;
.shell sqlite3 -batch -init /dev/null :memory: ".load ./txkv" ".read list.sql"
.shell sqlite3 -batch -init /dev/null :memory: ".load ./txkv" "CREATE VIRTUAL TABLE temp.v USING txkv('store')" "SELECT id FROM v WHERE n = 'C'" "ALTER TABLE v RENAME TO moved"
-- by its number this connection goes on
SELECT id FROM v WHERE n = 'c';
BEGIN;
CREATE TEMP TABLE any(a);
ROLLBACK;
SELECT id FROM v WHERE n = 'c';
.shell sqlite3 -batch -init /dev/null :memory: ".load ./txkv" "CREATE VIRTUAL TABLE temp.moved USING txkv('store')" "ALTER TABLE moved RENAME TO v"
SELECT id FROM v WHERE n = 'c';
-- dropping, by this process and by another one
BEGIN;
SELECT txkv_drop('store', 'v');
ROLLBACK;
SELECT txkv_drop('kv', 'v') ->> 'rows';
SELECT * FROM v;
INSERT INTO v VALUES(8, 'd', NULL);
DROP TABLE v;
CREATE VIRTUAL TABLE temp.v USING txkv('store', other);
SELECT count(*) FROM v;
SELECT txkv_drop('store', 'nope');
SELECT txkv_drop('store', NULL);
SELECT txkv_drop(NULL, 'v');
BEGIN;
INSERT INTO kv VALUES('lost', 1);
.shell sqlite3 -batch -init /dev/null :memory: ".load ./txkv" "SELECT txkv_drop('store', 'kv') ->> 'rows'"
COMMIT;
SELECT * FROM kv;
SELECT name FROM txkv_tables;
-- all of it is in order
SELECT txkv_check('store') ->> 'problems', txkv_check('store') ->> 'rows', txkv_check('w') ->> 'rows';
SELECT txkv_check('store', 'nope');
-- what the shell shows
.tables
.schema w
SELECT schema, name, type, ncol FROM pragma_table_list WHERE name IN ('v', 'w', 'txkv_tables', 'txkv_scan') ORDER BY name;
SELECT name, type, "notnull" FROM pragma_table_info('w');
SELECT name, hidden FROM pragma_table_xinfo('txkv_scan');
