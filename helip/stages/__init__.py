"""The stages of the graph: each joins a study's declarations with the library that does the work. The library never imports it."""
