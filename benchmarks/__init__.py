"""The whole path, measured: a real broker, the program as users run it, a loopback vendor. `README.md` says how."""
