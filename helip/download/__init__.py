"""What comes from elsewhere: corpora by img2dataset or from mirrors, published checkpoints, evaluation sets packed from their archives."""
