"""Everything that depends on the Keras version or on the backend. Nothing outside asks which one runs."""
