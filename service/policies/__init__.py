"""The policy as data: seeded from `seed.json`, versioned in MongoDB, evaluated by `service.access.policy`."""
