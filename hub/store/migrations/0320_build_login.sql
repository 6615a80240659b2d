-- Who a Git repository elsewhere is fetched as, and with what.
ALTER TABLE build_sources ADD COLUMN username TEXT NOT NULL DEFAULT '';
ALTER TABLE build_sources ADD COLUMN password TEXT NOT NULL DEFAULT ''; -- sealed, or ''
