"""The processes that listen: granian's supervisor, the way from its event loop to the app, and the preparations."""
