"""The ground room: files in and out, and the children that lmx starts. It imports nothing of lmx but its errors."""
