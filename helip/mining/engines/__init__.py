"""Mining engines that return identical pair sets: torch (any device), C++ (CPU), Triton (GPU); and ivf, which is approximate."""
