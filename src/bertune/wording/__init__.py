"""Text for people: tables, numbers, nearest words."""
