"""What a hidden unit is in a Keras layer, and who consumes it."""
