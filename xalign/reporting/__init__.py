"""What people look at: the report, the model card, pictures, tables on the terminal."""
