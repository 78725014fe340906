"""What ``steembot new`` writes. NAME stands for the name."""
