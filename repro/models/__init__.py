"""What a model is: its architecture, and how a published configuration says it."""
