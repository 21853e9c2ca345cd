"""The generated world: thousands of fine-grained concepts, few images each, varied captions, a declared share of wrong ones.

`vocabulary` names what there is, `concepts` grows it, `scenes` draws scenes, `shapes` and `render` show them, `captions`
describe them, `corpus` writes pairs, `truth` answers what only the generator knows, `sets` makes the evaluation analogues.
Everything is a pure function of (world_seed, seed, index).
"""
