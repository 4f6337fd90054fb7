"""What the service and the process that has the model say to each other (`transcribe.listening`)."""

import struct

READY = b"ready"
PID = struct.Struct("<I")
REQUEST = struct.Struct("<II")
"""Samples per second, and how many bytes of samples follow."""

LENGTH = struct.Struct("<I")
