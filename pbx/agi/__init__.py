"""FastAGI: how the dialplan asks and tells; one short script per route, the function's name is the route."""
