"""Methods that fill masks: WeDLM, masked and block diffusion, and their likelihoods."""
