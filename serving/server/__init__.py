"""The server's processes: granian's supervisor, the bridge from its event loop to the app, and the preparations."""
