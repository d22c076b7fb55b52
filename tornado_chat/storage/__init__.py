"""The database: tables, migrations, the group-commit writer, and queries by aggregate."""
