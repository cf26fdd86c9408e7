"""Campaigns that try to make the project pay twice or lose a paid video."""
