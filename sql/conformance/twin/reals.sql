-- Reals that rows hold as short decimals, and those beside them that need all of their bits.
TABLE reals(id INTEGER PRIMARY KEY, r REAL, n NUMERIC, b, t TEXT, INDEX(r), INDEX(b, n));
INSERT INTO reals VALUES(1, 19.99, '19.99', 19.99, 19.99), (2, 1, 1.0, 1.0, 1.0), (3, -122.4194155, '-122.4194155', -122.4194155, 'x'), (4, 0.1 + 0.2, 0.3, 0.1 + 0.2, 0.3);
INSERT INTO reals VALUES(5, 2147483647.0, 2147483648.0, -2147483649.0, ''), (6, 214.7483647, 214.7483648, 1e-7, NULL), (7, 1e-8, 1e300, -1e-300, 1e15), (8, 9e999, -9e999, 9e999, 0.0);
WITH RECURSIVE i(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i < 1999) INSERT INTO reals SELECT 1000 + i, (i * 7919 % 100003 - 50000) / 100.0, (i * 7919 % 1000003) / 1000000.0, i / 7.0, i / 8.0 FROM i;
SELECT id, typeof(r), typeof(n), typeof(b), typeof(t), r, n, b, t FROM reals WHERE id < 1000 ORDER BY id;
SELECT id, printf('%.17g %.17g %.17g', r, n, b) FROM reals WHERE id < 1050 ORDER BY id;
SELECT count(*), sum(CAST(round(r * 100) AS INT)), sum(CAST(round(n * 1000000) AS INT)), min(r), max(r), min(n), max(n), min(b), max(b) FROM reals WHERE id >= 1000;
SELECT typeof(r), typeof(n), typeof(b), count(*) FROM reals GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT id, r FROM reals WHERE r = 19.99 OR r = -122.4194155 OR r = 1 OR r = 0.3 ORDER BY id;
SELECT id FROM reals WHERE r BETWEEN -0.5 AND 0.5 ORDER BY r, id;
UPDATE reals SET r = r / 100, n = n * 100, b = r WHERE id % 3 = 0;
UPDATE reals SET r = r * 3 WHERE id % 5 = 0;
SELECT id, r, n, b FROM reals WHERE id < 1100 ORDER BY id;
SELECT count(*) FROM reals WHERE r = round(r, 2);
-- The only real in a NUMERIC column that an integer equals, alone in a key and last in one, and beside an index.
TABLE least(n NUMERIC PRIMARY KEY, a, INDEX(a)) WITHOUT ROWID;
TABLE last(a, n INT, b, PRIMARY KEY(a, n)) WITHOUT ROWID;
INSERT INTO least VALUES(-9223372036854775808.0, 1), (-9223372036854775807, 2), (9223372036854775807, 3), (9223372036854775808.0, 4);
INSERT INTO last VALUES(1, -9223372036854775808.0, 'real'), (2, -9223372036854775807 - 1, 'integer'), (3, 9223372036854775808.0, 'real');
SELECT typeof(n), n, a FROM least ORDER BY n;
SELECT typeof(n), n FROM least WHERE a = 1;
SELECT typeof(n), n, b FROM last ORDER BY a;
UPDATE least SET a = 5 WHERE n = -9223372036854775808.0;
SELECT typeof(n), n, a FROM least ORDER BY n DESC;
