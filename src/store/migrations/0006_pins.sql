-- At which commits module repositories were read: what the newest publication of an application was rendered with, and
-- what each revision was. As [{"repository", "reference", "commit", "kind"}]; none before this was recorded.
ALTER TABLE application ADD COLUMN pins TEXT;
ALTER TABLE revision ADD COLUMN pins TEXT;
