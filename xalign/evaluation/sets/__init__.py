"""What is asked: published sets, parallel text, wordings, demonstrations."""
