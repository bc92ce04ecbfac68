"""Models behind TensorFlow Serving's protocol, over gRPC and REST: bytes in, bytes out. The optional extra `[serve]`.

The stock server can't run these models: it links its operations statically, and TFC's range coding is not among them.
What clients see is the stock server's; `server` puts the pieces together.
"""
