"""Splio contacts over SFTP (destinations 4)."""
