-- Sessions of a web site: looked up by their token at each request, ended when they have not been used for half an
-- hour. The columns, the UNIQUE and the INDEX are those that a native table would have.
.load ./txkv
CREATE VIRTUAL TABLE temp.sessions USING txkv('store', id INTEGER PRIMARY KEY, token TEXT NOT NULL, user TEXT NOT NULL COLLATE NOCASE, expires INT NOT NULL, data TEXT, UNIQUE(token), INDEX(expires), INDEX(user, expires), sync=normal);

-- Three people log in; the time is given, where a program would say unixepoch(). A token is 16 random bytes in life.
INSERT INTO sessions(token, user, expires, data) VALUES
  ('t-ann-1', 'ann', 1000 + 1800, '{"cart":[]}'),
  ('t-bob-1', 'bob', 1005 + 1800, NULL),
  ('t-ann-2', 'Ann', 1010 + 1800, '{"cart":[7]}');

-- A request: the token is found by UNIQUE(token), and only while the session is alive.
SELECT user, data ->> 'cart' FROM sessions WHERE token = 't-ann-2' AND expires > 1200;
EXPLAIN QUERY PLAN SELECT user FROM sessions WHERE token = 't-ann-2' AND expires > 1200;

-- Being used, it lives on. The UPDATE changes one entry of INDEX(expires) and one of INDEX(user, expires).
UPDATE sessions SET expires = 1200 + 1800, data = json_set(data, '$.cart[#]', 9) WHERE token = 't-ann-2';

-- A token that is there already is no token. OR IGNORE tells by changes() whether it was taken.
INSERT OR IGNORE INTO sessions(token, user, expires) VALUES('t-bob-1', 'eve', 9999);
SELECT 'taken', changes();

-- Where is Ann logged in? The names do not depend on capitals, and come in the order of the index.
SELECT token, expires FROM sessions WHERE user = 'ANN' ORDER BY expires DESC;

-- Changing the password ends her other sessions: both statements or none.
BEGIN;
DELETE FROM sessions WHERE user = 'ann' AND token <> 't-ann-2';
UPDATE sessions SET data = json_set(data, '$.password_changed', 1) WHERE token = 't-ann-2';
COMMIT;
SELECT user, token, data FROM sessions ORDER BY id;

-- Every minute, the broom: what has expired stands at the beginning of INDEX(expires), so it costs what it removes.
-- In portions, so that the transaction stays small and never loses to a request for long.
EXPLAIN QUERY PLAN SELECT id FROM sessions WHERE expires <= 2900 ORDER BY expires LIMIT 100;
DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires <= 2900 ORDER BY expires LIMIT 100);
SELECT 'removed', changes();
SELECT user, expires FROM sessions;

-- Another process, or the next start of this one, finds the table with its columns in the store.
DROP TABLE sessions;
CREATE VIRTUAL TABLE temp.sessions USING txkv('store');
SELECT user, token FROM sessions WHERE token = 't-ann-2';
