"""Outlast's controller: provisions spot machines, watches them, and moves jobs from lost ones to new ones."""
