-- as native: UPDATE of values and of keys, DELETE.
.load ./txkv
.mode list
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
INSERT INTO kv VALUES(1, 'one'), (2, 'two'), (3, 'three'), ('x', 'text'), (x'00', 'blob');
UPDATE kv SET value = upper(value) WHERE key = 2;
SELECT changes();
UPDATE kv SET value = NULL WHERE key = 'missing';
SELECT changes();
UPDATE kv SET value = value || '!' WHERE key < 3;
SELECT quote(key), quote(value) FROM kv ORDER BY key;
-- a key moves, its value with it
UPDATE kv SET key = 10 WHERE key = 1;
UPDATE kv SET key = 'y', value = value || ' moved' WHERE key = 'x';
SELECT changes();
SELECT quote(key), quote(value) FROM kv ORDER BY key;
-- onto a key that is there
UPDATE kv SET key = 3 WHERE key = 2;
UPDATE OR IGNORE kv SET key = 3 WHERE key = 2;
SELECT quote(key), quote(value) FROM kv ORDER BY key;
UPDATE OR REPLACE kv SET key = 3 WHERE key = 2;
SELECT quote(key), quote(value) FROM kv ORDER BY key;
UPDATE kv SET key = NULL WHERE key = 3;
UPDATE kv SET key = key WHERE key = 3;
-- the same key in another type keeps the new type
UPDATE kv SET key = 3.0 WHERE key = 3;
SELECT typeof(key), quote(key), quote(value) FROM kv WHERE key = 3;
UPDATE kv SET value = 'again' WHERE key = 3;
SELECT typeof(key), quote(key), quote(value) FROM kv WHERE key = 3;
UPDATE kv SET key = 3 WHERE key = 3.0;
SELECT typeof(key), quote(key), quote(value) FROM kv WHERE key = 3;
-- all keys at once, upwards out of each other's way
DELETE FROM kv;
SELECT changes(), count(*) FROM kv;
INSERT INTO kv VALUES(1, 'a'), (2, 'b'), (3, 'c');
UPDATE kv SET key = key + 100;
SELECT changes();
SELECT key, value FROM kv;
-- into each other's way: nothing has changed then
UPDATE kv SET key = key + 1;
SELECT key, value FROM kv;
UPDATE kv SET key = key - 1;
SELECT key, value FROM kv;
-- DELETE
DELETE FROM kv WHERE key = 101;
SELECT changes();
DELETE FROM kv WHERE key = 101;
SELECT changes();
DELETE FROM kv WHERE value IN ('a', 'c');
SELECT changes(), group_concat(key) FROM kv;
INSERT INTO kv VALUES(101, 'back');
SELECT key, value FROM kv;
DELETE FROM kv WHERE key > 0 AND key < 1000;
SELECT count(*) FROM kv;
