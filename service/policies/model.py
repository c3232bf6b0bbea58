"""The stored policy: one document per version, the highest is in force."""

POLICIES = "policies"
PREFIX = "pol"
