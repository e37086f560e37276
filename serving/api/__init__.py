"""The HTTP API: the routes, their request and answer types, and the parsing of requests and answering of errors."""
