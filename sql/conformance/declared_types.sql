-- A type that SQLite would read as something else is refused before the store has the table: the name stays free.
.load ./txkv
CREATE VIRTUAL TABLE temp.odd USING txkv('@DIR@/store', a SELECT);
CREATE VIRTUAL TABLE temp.odd USING txkv('@DIR@/store', a $b);
CREATE VIRTUAL TABLE temp.odd USING txkv('@DIR@/store', $a);
CREATE VIRTUAL TABLE temp.odd USING txkv('@DIR@/store', a$ DATE, b KEY);
INSERT INTO odd VALUES('2024-02-29', 1);
SELECT a$, b FROM odd;
