"""Who may see and do what: actor, roles, sensitivity classes, policy evaluation, masks. Pure functions."""
