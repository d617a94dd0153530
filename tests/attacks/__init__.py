"""What an attacker would write: one file per wall, each attack a case, on real parts (docs/security.md)."""
