"""What a model computes is captured and changed, and each change is checked."""
