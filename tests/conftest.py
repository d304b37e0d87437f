"""Being here, this file puts the folder on the import path, so that every test can import `builders`."""
