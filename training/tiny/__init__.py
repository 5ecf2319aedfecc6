"""The tiny family: data, objectives, training and evaluation."""
