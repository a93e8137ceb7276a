"""The routes, by what they are for; each reads a request, calls the engine, shows the answer."""
