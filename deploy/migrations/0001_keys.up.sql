-- Rows of ciphertext (docs/formats/store.md). A table `keys` that an application has already gets the columns; what is there is left out.
CREATE TABLE keys (id TEXT PRIMARY KEY NOT NULL);
ALTER TABLE keys ADD COLUMN ciphertext_blob TEXT;
ALTER TABLE keys ADD COLUMN data_key_ciphertext TEXT;
ALTER TABLE keys ADD COLUMN kms_key_id TEXT;
ALTER TABLE keys ADD COLUMN created_at TIMESTAMPTZ;
ALTER TABLE keys ADD COLUMN updated_at TIMESTAMPTZ;
ALTER TABLE keys ADD COLUMN version BIGINT;
ALTER TABLE keys ADD COLUMN algorithm TEXT;
ALTER TABLE keys ADD COLUMN public_key TEXT;
CREATE INDEX keys_data_key ON keys (data_key_ciphertext, id);
