"""The compiled engine: C sources built on the user's machine, the encoder's passes and the optimizer's step by them."""
