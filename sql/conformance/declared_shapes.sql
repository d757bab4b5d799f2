-- Declared columns: what is refused, and the shape that the store keeps.
.load ./txkv
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', a INT DEFAULT 5);
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', a INT CHECK(a > 0));
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', a INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', a UNIQUE ON CONFLICT REPLACE);
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', a REFERENCES b(c));
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', a INT, b INT GENERATED ALWAYS AS (a + 1));
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', a, PRIMARY KEY(a DESC));
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', a COLLATE german);
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', a, UNIQUE(b));
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', a, INDEX a_index(a));
.shell ls
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', "a b" VARCHAR ( 10 ) unique, [select] integer primary key, sync=off, c);
INSERT INTO t VALUES('x', 1, 2.5);
DROP TABLE t;
-- the stored shape
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store');
SELECT name, type, pk FROM pragma_table_info('t');
INSERT INTO t VALUES('x', 2, 0);
DROP TABLE t;
-- the same shape, written otherwise
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', 'a b' VARCHAR(10), "select" INTEGER, c, PRIMARY KEY("select"), UNIQUE("a b"));
DROP TABLE t;
-- and others
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', "a b" VARCHAR(10), c);
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
DROP TABLE kv;
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', key, value);
CREATE VIRTUAL TABLE temp.long USING txkv('@DIR@/store', a TEXT, b TEXT, c TEXT, PRIMARY KEY(a, b), INDEX(c));
INSERT INTO long VALUES(hex(zeroblob(75000)), hex(zeroblob(75000)), '');
INSERT INTO long VALUES(hex(zeroblob(75000)), '', hex(zeroblob(75000)));
SELECT count(*) FROM long WHERE c = hex(zeroblob(150000)) OR c > hex(zeroblob(150000));
