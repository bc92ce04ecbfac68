"""What `lic.pjrt_train` stands on: runs an exported training step with jax and numpy alone.

Nothing in here may import TensorFlow, nor anything of the project that does.
"""
