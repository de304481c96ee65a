"""Taxonomy: build backbones, and resolve providers' labels against them."""
