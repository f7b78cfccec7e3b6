"""A client from another language: a Node program made of the protos, judged by pytest."""
