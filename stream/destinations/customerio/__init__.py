"""Customer.io: answers privacy requests, access and deletion. The vendor's facts are cited where they are used."""
