-- as native: every value comes back exactly as it was stored, as key and as value.
.load ./txkv
.mode list
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
CREATE TABLE input(n INTEGER PRIMARY KEY, v);
INSERT INTO input(v) VALUES(0), (1), (-1), (127), (128), (-128), (-129), (32767), (32768), (8388607), (-8388609),
  (2147483647), (2147483648), (140737488355327), (140737488355328), (9007199254740992), (9007199254740993),
  (-9007199254740993), (9223372036854775807), (9223372036854775806), (-9223372036854775808),
  (-9223372036854775807);
INSERT INTO input(v) VALUES(0.5), (-0.5), (1e-300), (-1e-300), (4.9e-324), (1.7976931348623157e308), (9e999), (-9e999),
  (3.141592653589793), (1e15), (123456789012345678.0), (9007199254740994.0), (-2.0);
INSERT INTO input(v) VALUES(''), ('a'), ('A'), ('ä€𝄞'), ('1'), ('1.0'), ('it''s'), (char(10)), (char(1)),
  (char(65533)), (substr(hex(zeroblob(300)), 1, 510));
INSERT INTO input(v) VALUES(x''), (x'00'), (x'0000'), (x'ff'), (x'6100'), (zeroblob(510)), (x'0a0b');
-- as a key: type and value are those that went in
INSERT INTO kv SELECT v, n FROM input WHERE true;
SELECT count(*), count(DISTINCT key) FROM kv;
SELECT n, typeof(key), CASE WHEN length(key) > 50 THEN length(key) WHEN typeof(key) = 'real' THEN printf('%.15g', key) WHEN key > '' AND key < ' ' THEN hex(key) ELSE quote(key) END FROM input JOIN kv ON value = n ORDER BY n;
SELECT 'wrong', n FROM input JOIN kv ON value = n WHERE typeof(v) <> typeof(key) OR v IS NOT key OR quote(v) <> quote(key);
-- the order is SQLite's own
SELECT 'order', group_concat(value) FROM (SELECT value FROM kv ORDER BY key);
SELECT 'order', group_concat(n) FROM (SELECT n FROM input ORDER BY v);
SELECT 'found', count(*) FROM input JOIN kv ON kv.key = input.v;
-- as a value
DELETE FROM kv;
INSERT INTO kv SELECT n, v FROM input WHERE true;
SELECT key, typeof(value), CASE WHEN length(value) > 50 THEN length(value) WHEN typeof(value) = 'real' THEN printf('%.15g', value) WHEN value > '' AND value < ' ' THEN hex(value) ELSE quote(value) END FROM kv ORDER BY key;
SELECT 'wrong', n FROM input JOIN kv ON key = n WHERE typeof(v) <> typeof(value) OR v IS NOT value OR quote(v) <> quote(value);
-- one number in two types: which of them it was stays known
DELETE FROM kv;
INSERT INTO kv VALUES(5, 1), (6.0, 1), (-0.0, 1), (9007199254740992.0, 1), (-9223372036854775808.0, 1), (9223372036854775808.0, 1);
SELECT typeof(key), printf('%.15g', key) FROM kv ORDER BY key;
SELECT typeof(key), printf('%.15g', key) FROM kv WHERE key = 5.0;
SELECT typeof(key), printf('%.15g', key) FROM kv WHERE key = 6;
SELECT typeof(key), printf('%.15g', key) FROM kv WHERE key = 0;
SELECT count(*) FROM kv WHERE key = 9007199254740993;
REPLACE INTO kv VALUES(6, 2), (5.0, 2), (0, 2);
SELECT typeof(key), printf('%.15g', key), value FROM kv ORDER BY key;
-- large values
DELETE FROM kv;
INSERT INTO kv VALUES('blob', zeroblob(3000000)), ('text', hex(zeroblob(1000000))), ('null', NULL);
SELECT key, typeof(value), length(value), value IS (CASE key WHEN 'blob' THEN zeroblob(3000000) WHEN 'text' THEN hex(zeroblob(1000000)) END) FROM kv;
-- no affinity and no conversion
DELETE FROM kv;
INSERT INTO kv VALUES('1', 'text'), (1, 'integer');
SELECT value FROM kv WHERE key = 1;
SELECT value FROM kv WHERE key = '1';
SELECT value FROM kv WHERE key = CAST(1 AS TEXT);
SELECT value FROM kv WHERE key = (SELECT 1);
SELECT count(*) FROM kv WHERE key = x'31';
SELECT typeof(value), value = 'text' FROM kv WHERE key = '1';
