"""What a base computes where the oracle was asked: its next token and its last layer's attention, in Parquet parts."""
