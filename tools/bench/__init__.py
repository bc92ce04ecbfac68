"""What the README says of speed: `python -m tools.bench` measures it side by side in one run."""
