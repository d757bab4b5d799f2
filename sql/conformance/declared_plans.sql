-- Which key or index a query of declared columns uses.
.load ./txkv
CREATE VIRTUAL TABLE temp.users USING txkv('@DIR@/store', id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, age INT, UNIQUE(name), INDEX(age, name));
CREATE VIRTUAL TABLE temp.part USING txkv('@DIR@/store', room TEXT, seat INT, who, PRIMARY KEY(room, seat));
.eqp on
SELECT * FROM users WHERE id = 1;
SELECT * FROM users WHERE rowid > 1 AND id <= 5 ORDER BY id DESC;
SELECT * FROM users WHERE name = 'x';
SELECT * FROM users WHERE name = 'x' COLLATE BINARY;
SELECT * FROM users WHERE age = 1 AND name > 'x' ORDER BY name;
SELECT * FROM users WHERE age IS NULL;
SELECT * FROM users WHERE age = 1 ORDER BY name DESC, id DESC;
SELECT * FROM users ORDER BY age, name;
SELECT * FROM users ORDER BY age, name DESC;
SELECT count(*) FROM users;
SELECT * FROM part WHERE room = 'a' AND seat = 1;
SELECT * FROM part WHERE room = 'a' ORDER BY seat DESC;
SELECT * FROM part WHERE seat = 1;
SELECT * FROM part JOIN users ON users.id = part.seat WHERE room >= 'a' AND room < 'b';
