"""Makes rounds of entries durable and gives them back; never looks inside them."""
