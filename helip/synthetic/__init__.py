"""The generated world: thousands of fine-grained concepts, few images each, varied captions, a declared share of wrong ones.

`vocabulary` names what there is, `world` has the constants of two worlds, `concepts` grows one, `scenes` draws scenes, `templates` and
`render` show them, `captions` describe them, `corpus` writes pairs, `truth` answers what only the generator knows, `sets` makes the
evaluation analogues. Everything is a pure function of (world, seed, index).
"""
