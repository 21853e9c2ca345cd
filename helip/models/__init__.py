"""CLIP models: one reference syntax, loading, export, published checkpoints, tokenizers and weight interpolation."""
