"""Media to vectors: ImageBind's towers, their weights, and the preprocessing in front of them."""
