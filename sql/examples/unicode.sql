-- Debian's Unicode data (package unicode-data) as a table with types, keys and indexes: 34,000 rows from a text file.
.load ./txkv
CREATE VIRTUAL TABLE temp.characters USING txkv('store', code INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL, upper INT, lower INT, numeric TEXT, INDEX(name), INDEX(category, code), INDEX(upper));

-- The files, as they are, into native tables.
CREATE TABLE unicode_data(code, name, category, class, bidi, decomposition, decimal, digit, numeric, mirrored, old_name,
                          comment, upper, lower, title);
.separator ";"
.import /usr/share/unicode/UnicodeData.txt unicode_data
CREATE TABLE lines(range, block);
.import "|grep ';' /usr/share/unicode/Blocks.txt | grep -v '^#'" lines
.separator "|"

-- Code points are hexadecimal: a table of those that occur, and their numbers.
CREATE TABLE hex(digits TEXT PRIMARY KEY, number INT);
INSERT INTO hex
  WITH words(digits) AS (SELECT code FROM unicode_data UNION SELECT substr(range, 1, instr(range, '.') - 1) FROM lines
                         UNION SELECT substr(range, instr(range, '.') + 2) FROM lines)
  SELECT digits, (SELECT sum(instr('123456789ABCDEF', substr(digits, value, 1)) << 4 * (length(digits) - value))
                  FROM json_each('[1, 2, 3, 4, 5, 6]') WHERE value <= length(digits))
  FROM words;

-- All rows in one transaction.
INSERT INTO characters
  SELECT c.number, name, category, u.number, l.number, nullif(numeric, '')
  FROM unicode_data AS d JOIN hex AS c ON c.digits = d.code
       LEFT JOIN hex AS u ON u.digits = d.upper LEFT JOIN hex AS l ON l.digits = d.lower;
CREATE TABLE blocks(first INTEGER PRIMARY KEY, last INT, block TEXT);
INSERT INTO blocks
  SELECT f.number, l.number, trim(block) FROM lines
         JOIN hex AS f ON f.digits = substr(range, 1, instr(range, '.') - 1)
         JOIN hex AS l ON l.digits = substr(range, instr(range, '.') + 2);
SELECT count(*) = (SELECT count(*) FROM unicode_data) AND count(*) > 30000 FROM characters;

-- One by its number, one by its name.
SELECT name, char(code) FROM characters WHERE code = 0x20AC;
SELECT printf('U+%04X', code), char(code) FROM characters WHERE name = 'SNOWMAN';
EXPLAIN QUERY PLAN SELECT code FROM characters WHERE name = 'SNOWMAN';

-- A range of numbers; names with a common beginning, in the order of the names.
SELECT printf('U+%04X', code), char(code), name FROM characters WHERE code BETWEEN 0x2153 AND 0x2155;
SELECT name, numeric FROM characters WHERE name >= 'ROMAN NUMERAL ONE' AND name < 'ROMAN NUMERAL ONF' ORDER BY name DESC LIMIT 3;

-- By category: the currency signs below U+0100, the first title letters. Ranges of INDEX(category, code).
SELECT char(code), name FROM characters WHERE category = 'Sc' AND code < 0x100 ORDER BY code;
SELECT printf('U+%04X', code), name FROM characters WHERE category = 'Lt' ORDER BY code LIMIT 2;

-- A join with itself: letters whose capital's small letter is another one.
SELECT char(small.code), char(big.code), char(big.lower)
  FROM characters AS small JOIN characters AS big ON big.code = small.upper
  WHERE big.lower <> small.code AND small.code < 0x400 AND big.lower < 0x400 ORDER BY small.code LIMIT 4;

-- A join with a native table: for each block the characters of its range.
SELECT block, count(*), min(name)
  FROM blocks JOIN characters ON code BETWEEN first AND last
  WHERE first BETWEEN 0x2150 AND 0x2300 GROUP BY block ORDER BY first;
SELECT block FROM blocks WHERE NOT EXISTS (SELECT 1 FROM characters WHERE code BETWEEN first AND last) AND first < 0xE000 ORDER BY first;

-- Which small letters have the same capital? INDEX(upper) gives the groups in order, without a sorter.
SELECT char(upper), group_concat(char(code), ' ') FROM characters WHERE upper BETWEEN 0x390 AND 0x3FF GROUP BY upper HAVING count(*) > 1;

-- A change is a transaction like any other, with all its index entries.
BEGIN;
UPDATE characters SET name = name || ' (EURO)' WHERE code = 0x20AC;
SELECT count(*) FROM characters WHERE name = 'EURO SIGN';
ROLLBACK;
SELECT count(*) FROM characters WHERE name = 'EURO SIGN';
