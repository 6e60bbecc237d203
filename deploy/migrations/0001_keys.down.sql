-- Only what the migration up has made is taken back: a table of an application stays.
DROP INDEX keys_data_key;
ALTER TABLE keys DROP COLUMN public_key;
ALTER TABLE keys DROP COLUMN algorithm;
ALTER TABLE keys DROP COLUMN version;
ALTER TABLE keys DROP COLUMN updated_at;
ALTER TABLE keys DROP COLUMN created_at;
ALTER TABLE keys DROP COLUMN kms_key_id;
ALTER TABLE keys DROP COLUMN data_key_ciphertext;
ALTER TABLE keys DROP COLUMN ciphertext_blob;
DROP TABLE keys;
