"""What is compiled does what the plain way does."""
