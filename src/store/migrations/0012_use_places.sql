-- Which line of the application file led to the module, and through which other modules (a JSON list of calls).
ALTER TABLE module_use ADD COLUMN line BIGINT;
ALTER TABLE module_use ADD COLUMN through TEXT;
CREATE INDEX module_use_module ON module_use (used_module);
