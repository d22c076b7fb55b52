from tests.storage.conftest import database, database_file

__all__ = ["database", "database_file"]
