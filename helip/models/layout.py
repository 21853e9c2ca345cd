"""The files of a model folder, as open_clip's local-dir layout names them, and ours beside them."""

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
CURVE, ABOUT = "curve.csv", "train.json"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model")
EMPTY_CURVE = "step,loss\n"  # of a model that took no step here
