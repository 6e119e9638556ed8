"""What `import bertune` gives above the rooms: train a table, use a model, scikit-learn."""
