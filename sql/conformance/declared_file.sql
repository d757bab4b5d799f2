-- Declared columns in a file's schema, beside native tables, over two connections.
.load ./txkv
.open @DIR@/app.db
.load ./txkv
CREATE VIRTUAL TABLE stock USING txkv('@DIR@/store', item TEXT PRIMARY KEY, qty INT NOT NULL, INDEX(qty));
CREATE TABLE log(item, qty);
BEGIN;
INSERT INTO stock VALUES('bolt', 10), ('nut', 7);
INSERT INTO log SELECT item, qty FROM stock;
COMMIT;
BEGIN;
UPDATE stock SET qty = qty - 3 WHERE item = 'bolt';
INSERT INTO log VALUES('bolt', -3);
ROLLBACK;
.open @DIR@/app.db
.load ./txkv
SELECT item, qty FROM stock ORDER BY qty;
SELECT item, qty FROM log ORDER BY qty;
INSERT INTO stock VALUES('bolt', 1);
-- the same table, in temp, with the stored shape
CREATE VIRTUAL TABLE temp.s USING txkv('@DIR@/store', table=stock);
SELECT item FROM s WHERE qty > 8;
ALTER TABLE s RENAME TO renamed;
UPDATE renamed SET item = 'screw' WHERE qty = 7;
SELECT item, qty FROM stock WHERE item >= 'c';
