"""Who is who: staff accounts, departments, passwords, sessions, access tokens."""
