"""Examples and where they come from: tables, GLUE files, hub data sets. No torch."""
