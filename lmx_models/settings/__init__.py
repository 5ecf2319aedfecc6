"""Arguments and settings as users write them, read strictly, and the requests made of them."""
