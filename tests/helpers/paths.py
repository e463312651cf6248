"""Where things stand in the checkout; imports nothing but the standard library."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
RECIPES = ROOT / "recipes"
