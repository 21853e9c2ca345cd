"""Evaluation through CLIP benchmark: features once, then zero-shot classification, linear probe and retrieval from them."""
