-- Stock that must not go below zero: a savepoint takes back one item of an order, a rollback all of it.
.load ./txkv
CREATE VIRTUAL TABLE temp.stock USING txkv('store', table=stock);
CREATE VIRTUAL TABLE temp.orders USING txkv('store', table=orders);
INSERT INTO stock VALUES('bolt', 10), ('nut', 3);

-- Two tables of one store: one transaction, one record in the log.
BEGIN;
UPDATE stock SET value = value - 4 WHERE key = 'bolt';
INSERT INTO orders VALUES(1, '4 bolts');
SAVEPOINT item;
UPDATE stock SET value = value - 4 WHERE key = 'nut';
SELECT 'nuts would be', value FROM stock WHERE key = 'nut';
ROLLBACK TO item;
RELEASE item;
COMMIT;

BEGIN;
DELETE FROM stock;
INSERT INTO orders VALUES(2, 'everything');
SELECT 'inside', (SELECT count(*) FROM stock), (SELECT count(*) FROM orders);
ROLLBACK;

SELECT key, value FROM stock;
SELECT key, value FROM orders;
