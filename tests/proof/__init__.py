"""The non-interference proof (B1, P12): two worlds that differ in what a role may not see answer it alike.

`walk`      the SDL, read: routes to every type, selections, arguments, values for every input
`values`    pairs of values, one for each kind of field: alike behind the mask, and altogether different
`viewers`   the people who ask, from the policy
`story`     what happened in a world, told through the services with clock and ids pinned
`worlds`    two databases, two servers; snapshots; what in an answer is a digest of a ciphertext
`inputs`    values for every input, and what may be found by equality
`questions` every question of one viewer
`asking`    asks both worlds and compares status, headers and body byte for byte
`leaks`     ten planted leaks, each of which the proof must find
"""
