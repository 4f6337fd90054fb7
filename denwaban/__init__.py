"""The operator's command line: `python -m denwaban`. It works on the database and the files themselves."""
