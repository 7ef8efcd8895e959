"""The main job from end to end: compute, follow and merge runs."""
