"""What runs take and cost: prices, speeds, estimates before a run and their comparison with it."""
