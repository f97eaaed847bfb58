"""Style, labels and CSV companions shared by every figure."""
