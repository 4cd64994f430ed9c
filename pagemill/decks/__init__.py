"""Pitch decks: slides seen, rated, mined for facts and analysed by vision and text models."""
