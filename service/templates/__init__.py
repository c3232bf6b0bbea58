"""Templates: which further fields a customer or case has, typed, classified and versioned (R3, R33)."""
