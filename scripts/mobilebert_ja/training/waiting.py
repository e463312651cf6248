"""Threads that wait do not spin: imported for that, by every script that computes with torch, before torch itself.

Spinning would cost whatever else runs on the machine, and where that holds one of the cores, many times the training's
own time. libgomp reads the variable once, when torch is loaded; what the user has set is left alone.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
